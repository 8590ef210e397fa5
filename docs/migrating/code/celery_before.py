from smtplib import SMTPException

from celery import Celery
from flask import Flask, request
from flask_mail import Mail, Message

app = Flask(__name__)
app.config.from_prefixed_env()
mail = Mail(app)
celery = Celery(app.import_name)
celery.config_from_object(app.config["CELERY"])


@celery.task(autoretry_for=(SMTPException, OSError), retry_backoff=True, max_retries=8)
def send_welcome(to):
    with app.app_context():
        message = Message("Welcome", recipients=[to])
        message.body = "Thank you for joining us.\n"
        mail.send(message)


@app.post("/welcome")
def welcome():
    send_welcome.delay(request.form["to"])
    return "Look into your mailbox."
