"""A small shop: it sends receipts, and links to set a new password."""

from flask import Flask, abort, request, url_for
from itsdangerous import BadSignature, URLSafeTimedSerializer

from flask_outbox import Mail, Message

mail = Mail()
customers = {"ada@example.org": "old password"}


def create_app(**settings):
    app = Flask(__name__)
    app.config["SECRET_KEY"] = "known to this shop only"
    app.config["MAIL_URL"] = "smtp://smtp.example.com"
    app.config["MAIL_DEFAULT_SENDER"] = "shop@example.com"
    app.config.update(settings)
    mail.init_app(app)
    signer = URLSafeTimedSerializer(app.config["SECRET_KEY"], salt="reset")

    @app.post("/orders/<int:number>")
    def order(number):
        receipt = mail.send(
            Message(
                f"Your order {number}",
                recipients=[request.form["email"]],
                body="Thank you for your order.\n",
            ),
            key=f"order-{number}",
            tag="receipts",
        )
        return {"mail": receipt.id}, 202

    @app.get("/orders/mail/<id>")
    def order_mail(id):
        return {"state": mail.get(id).state}

    @app.post("/forgot")
    def forgot():
        email = request.form["email"]
        if email in customers:
            link = url_for("reset", token=signer.dumps(email), _external=True)
            mail.send_message(
                "Set a new password",
                recipients=[email],
                html=f'<p>Dear Ada, <a href="{link}">set a new password</a>.</p>',
            )
        return "If we know that address, we have written to it."

    @app.post("/reset/<token>")
    def reset(token):
        try:
            email = signer.loads(token, max_age=3600)
        except BadSignature:
            abort(404)
        customers[email] = request.form["password"]
        return "That is your password now."

    return app
