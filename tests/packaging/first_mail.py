"""A new user's first app and first mail; run with nothing but the wheel installed."""

import html
import sys
from pathlib import Path

from flask import Flask

import flask_outbox
from flask_outbox import Mail, Message

folder = Path(sys.argv[1])
app = Flask(__name__, instance_path=str(folder / "instance"))
app.config["MAIL_URL"] = "inbox://"
app.config["MAIL_DEFAULT_SENDER"] = ("The shop", "shop@example.com")
app.config["OUTBOX_DASHBOARD"] = "local"
app.debug = True
mail = Mail(app)


@app.post("/send-email")
def send_email() -> tuple[dict[str, str], int]:
    receipt = mail.send(
        Message("Welcome", recipients=["ada@example.org"], body="Hello Ada")
    )
    return {"id": receipt.id}, 202


client = app.test_client()
id = client.post("/send-email").get_json()["id"]
with app.app_context():
    assert mail.drain(timeout_seconds=30), mail.get(id)
inbox = client.get("/outbox/inbox")
assert inbox.status_code == 200, inbox.text
assert "Welcome" in html.unescape(inbox.text), inbox.text
style = client.get("/outbox/static/dashboard.css")
assert style.status_code == 200, style
style.close()
print(Path(flask_outbox.__file__).parent)
