"""The app that every kind of server serves.

Its config comes as JSON in ``APP_CONFIG``; its instance folder is where it runs.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from flask import Flask

from flask_outbox import Mail, Message

logging.basicConfig(level=logging.INFO, format="%(process)d %(levelname)s %(message)s")

app = Flask("models", instance_path=str(Path.cwd()))
app.config["OUTBOX_URL"] = "sqlite:///outbox.db"
app.config.update(json.loads(os.environ["APP_CONFIG"]))
mail = Mail(app)


def send() -> str:
    """Send one mail; returns its Message-ID."""
    return mail.send(Message("Hello", ["ada@example.org"], "Hello\n")).rfc_message_id


@app.post("/send-email")
def send_email():
    return {"message_id": send(), "process": os.getpid()}


@app.get("/ping")
def ping():
    return {"process": os.getpid()}
