"""The outbox's id is sent to each provider that repeats it in its events."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from flask import Flask

from flask_outbox import Mail, Message
from flask_outbox.delivery import Envelope, Progress
from flask_outbox.testing.transport_contract import (
    ADA,
    CONTENT,
    SENDER,
    PeerBehaviour,
)
from tests.servers.http_api import FakeApi
from tests.transports.fakes import FAKES, FakeBrevo, FakeGmail, FakeGraph, FakeResend
from tests.waiting import WAIT_SECONDS, eventually

ID = "01KB7J5XZ8Q2W3E4R5T6Y7V8M9"

SILENT: list[type[FakeApi]] = [FakeGmail, FakeGraph]
"""Their bounces come as mail."""
REPEATING = [one for one in FAKES if one not in SILENT]


def repeated(api: FakeApi, message_id: str | None, content: bytes = CONTENT) -> object:
    """What the provider's events would repeat of a message with this id."""

    async def run() -> None:
        transport = api.transport()
        try:
            envelope = Envelope(SENDER, (ADA,), message_id=message_id)
            assert (await transport.deliver(envelope, content, Progress())).accepted
        finally:
            await transport.close()

    asyncio.run(run())
    return api.echoed(api.requests[-1])


@pytest.mark.parametrize("fake", REPEATING, ids=lambda one: one.scheme)
def test_a_provider_is_given_the_id_where_it_repeats_it(fake: type[FakeApi]) -> None:
    with fake() as api:
        assert repeated(api, ID) == ID
        assert repeated(api, None, CONTENT.replace(b"01", b"02")) is None


@pytest.mark.parametrize("fake", SILENT, ids=lambda one: one.scheme)
def test_a_provider_without_events_is_not_given_the_id(fake: type[FakeApi]) -> None:
    with fake() as api:
        repeated(api, ID)
        assert ID.encode() not in api.requests[0].body


def test_brevo_gets_the_id_beside_the_messages_own_value() -> None:
    own = b"X-Mailin-Custom: campaign:spring\r\n" + CONTENT
    with FakeBrevo() as api:
        repeated(api, ID, own)
        headers = api.requests[0].json["headers"]
    assert headers["X-Mailin-Custom"] == f"campaign:spring|outbox_id:{ID}"


def test_the_id_is_that_of_the_receipt_at_each_attempt(tmp_path: Path) -> None:
    app = Flask("shop", instance_path=str(tmp_path))
    app.config.update(
        MAIL_DEFAULT_SENDER=SENDER,
        OUTBOX_BACKOFF_BASE_SECONDS=0.01,
        OUTBOX_POLL_SECONDS=0.05,
    )
    with FakeResend() as api:
        api.behave(PeerBehaviour.DEFER)
        app.config["MAIL_URL"] = api.url()
        mail = Mail(app)
        with app.app_context():
            receipt = mail.send(Message("Hi", [ADA], body="Hello"))
            eventually(lambda: len(api.requests) >= 2)
            api.behave(PeerBehaviour.ACCEPT)
            assert mail.drain(WAIT_SECONDS)
        assert {api.echoed(one) for one in api.requests} == {receipt.id}
