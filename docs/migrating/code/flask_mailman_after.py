from flask import Flask, request
from flask_outbox import Mail, Message

app = Flask(__name__)
app.config.from_prefixed_env()
mail = Mail(app)


@app.post("/welcome")
def welcome():
    message = Message(
        "Welcome",
        [request.form["to"]],
        "Thank you for joining us.\n",
        reply_to="help@example.com",
        extra_headers={"X-Campaign": "welcome"},
    )
    message.html = "<p>Thank you for joining us.</p>\n"
    message.attach("terms.pdf", "application/pdf", b"%PDF-1.7")
    mail.send(message)
    return "Look into your mailbox."
