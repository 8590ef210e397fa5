"""``docs/webhooks.rst``: the receiver that it shows."""

from __future__ import annotations

import os
import runpy
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.serving import make_server

from tests.mail.conftest import MakeSite
from tests.mail.site import ADA
from tests.servers.webhook_receiver import SECRET
from tests.waiting import eventually

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of the receiver in the documentation."""
    monkeypatch.setitem(os.environ, "WEBHOOK_SECRET", SECRET)
    return runpy.run_path(str(DOCS / "webhooks" / "receiver.py"))


@pytest.fixture
def port(shown: dict[str, Any]) -> Iterator[int]:
    """Where it runs."""
    app: Flask = shown["app"]
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_the_receiver_takes_what_an_app_sends(
    make_site: MakeSite, shown: dict[str, Any], port: int
) -> None:
    url = f"http://127.0.0.1:{port}/hooks/mail"
    entry = {"url": url, "secrets": SECRET, "allow_private": True}
    receipt = make_site(OUTBOX_WEBHOOKS={"crm": entry}).send(ADA)
    eventually(lambda: shown["told"])
    (told,) = shown["told"].values()
    assert told["type"] == "message.sent"
    assert told["data"]["message_id"] == receipt.id


def test_the_receiver_refuses_what_others_send(shown: dict[str, Any]) -> None:
    client = shown["app"].test_client()
    headers = {"webhook-id": "x", "webhook-timestamp": "1", "webhook-signature": "v1,"}
    assert client.post("/hooks/mail", data=b"{}", headers=headers).status_code == 400
    assert client.post("/hooks/mail", data=b"{}").status_code == 400
    assert shown["told"] == {}
