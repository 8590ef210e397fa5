from flask import Flask, request
from flask_mailman import EmailMultiAlternatives, Mail

app = Flask(__name__)
app.config.from_prefixed_env()
mail = Mail(app)


@app.post("/welcome")
def welcome():
    message = EmailMultiAlternatives(
        "Welcome",
        "Thank you for joining us.\n",
        to=[request.form["to"]],
        reply_to=["help@example.com"],
        headers={"X-Campaign": "welcome"},
    )
    message.attach_alternative("<p>Thank you for joining us.</p>\n", "text/html")
    message.attach("terms.pdf", b"%PDF-1.7", "application/pdf")
    message.send()
    return "Look into your mailbox."
