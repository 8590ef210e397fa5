from threading import Thread

from flask import Flask, request
from flask_mail import Mail, Message

app = Flask(__name__)
app.config.from_prefixed_env()
mail = Mail(app)


def send_in_background(message):
    with app.app_context():
        mail.send(message)


@app.post("/welcome")
def welcome():
    message = Message("Welcome", recipients=[request.form["to"]])
    message.body = "Thank you for joining us.\n"
    Thread(target=send_in_background, args=(message,)).start()
    return "Look into your mailbox."
