import os

from flask import Flask, abort, request
from standardwebhooks import Webhook, WebhookVerificationError

app = Flask(__name__)
told = {}  # in a real app a table, whose key is the webhook's id


@app.post("/hooks/mail")
def hook():
    try:
        webhook = Webhook(os.environ["WEBHOOK_SECRET"])
        event = webhook.verify(request.get_data(), dict(request.headers))
    except WebhookVerificationError:
        abort(400)
    told.setdefault(request.headers["webhook-id"], event)
    return "", 204
