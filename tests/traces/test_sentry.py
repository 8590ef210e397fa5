"""What Sentry reports of an app and its courier."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.processes.running import Running

pytest.importorskip("sentry_sdk", reason="sentry-sdk is not installed")

APP = """
import json, sys

import sentry_sdk
from sentry_sdk.transport import Transport

reported = []


class Kept(Transport):
    def capture_envelope(self, envelope):
        reported.extend(one.payload.json for one in envelope.items if one.payload.json)


sentry_sdk.init(dsn="http://key@127.0.0.1:1/1", transport=Kept, traces_sample_rate=1)

from flask import Flask
from flask_outbox import Mail, Message, signals

app = Flask("shop", instance_path=sys.argv[1])
app.config.update(MAIL_URL="inbox://", MAIL_DEFAULT_SENDER="shop@example.com")
mail = Mail(app)


@app.post("/orders/<number>")
def order(number):
    mail.send(Message("Hello", ["ada@example.org"], body="Hi"))
    if number == "2":
        raise ValueError("the view failed")
    return ""


@signals.message_sent.connect
def broken(*_, **payload):
    raise RuntimeError("the listener failed")


client = app.test_client()
assert client.post("/orders/1").status_code == 200
assert client.post("/orders/2").status_code == 500
assert mail.drain(60)
mail.stop()
sentry_sdk.flush()
for one in reported:
    if "exception" in one:
        (error,) = one["exception"]["values"]
        print(json.dumps({
            "error": error["value"],
            "url": one.get("request", {}).get("url"),
            "transaction": one.get("transaction"),
            "logger": one.get("logger"),
        }))
"""


def test_sentry_reports_what_fails_in_a_view_and_in_a_courier(tmp_path: Path) -> None:
    with Running(tmp_path, "-c", APP, str(tmp_path)) as shop:
        printed, _ = shop.process.communicate(timeout=60)
        assert shop.process.returncode == 0, shop.stderr
    reports = [json.loads(line) for line in printed.splitlines()]
    in_view = {
        "error": "the view failed",
        "url": "http://localhost/orders/2",
        "transaction": "order",
        "logger": None,
    }
    in_courier = {
        "error": "the listener failed",
        "url": None,  # not that of the request which happened to start the courier
        "transaction": None,
        "logger": "flask_outbox",
    }
    assert sorted(reports, key=lambda one: one["error"]) == [
        in_courier, in_courier, in_view,
    ]  # fmt: skip
