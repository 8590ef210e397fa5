from flask import Flask, request
from flask_outbox import Mail, Message

app = Flask(__name__)
app.config.from_prefixed_env()
mail = Mail(app)


@app.post("/welcome")
def welcome():
    message = Message("Welcome", recipients=[request.form["to"]])
    message.body = "Thank you for joining us.\n"
    mail.send(message)
    return "Look into your mailbox."
