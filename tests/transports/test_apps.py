"""An app that sends by an API: its history, its key, and its refusals."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_outbox import (
    Attachment,
    ConfigError,
    Mail,
    Message,
    MessageError,
    MessageRecord,
    TransportDown,
)
from flask_outbox.testing.transport_contract import PeerBehaviour
from tests.servers.http_api import KEY, Answer, Request
from tests.servers.tls import Authority
from tests.transports.fakes import FakeMailerSend, FakeResend
from tests.waiting import WAIT_SECONDS, eventually

ADA, EVE, ZOE = "ada@example.org", "eve@example.org", "zoe@example.org"


def make_app(folder: Path, **config: Any) -> Flask:
    app = Flask("shop", instance_path=str(folder))
    app.config.update(
        MAIL_DEFAULT_SENDER="shop@example.com",
        OUTBOX_URL=f"sqlite:///{folder / 'outbox.db'}",
        **config,
    )
    return app


def drained(app: Flask) -> MessageRecord:
    """The record of a message to Ada, once nothing is due any more."""
    mail = Mail(app)
    with app.app_context():
        receipt = mail.send(Message("Hi", [ADA], body="Hello"))
        assert mail.drain(WAIT_SECONDS)
        return mail.get(receipt.id)


def test_the_history_has_the_providers_id_and_no_key(tmp_path: Path) -> None:
    with FakeResend() as api:
        app = make_app(tmp_path, MAIL_URL=api.url())
        record = drained(app)
    (sent,) = [one for one in record.events if one.kind == "sent"]
    assert sent.detail["provider_ids"] == {ADA: "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794"}
    assert KEY not in repr(record)
    assert KEY not in repr(app.extensions["outbox"].settings)


def test_mail_is_recorded_as_sent_whatever_id_the_provider_gives_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Garbled(FakeResend):
        def success(self, request: Request) -> Answer:
            return Answer(200, {"id": "49a3\ud8009c\x00"})

    with Garbled() as api:
        record = drained(make_app(tmp_path, MAIL_URL=api.url()))
        assert len(api.taken) == 1
    (sent,) = [one for one in record.events if one.kind == "sent"]
    assert sent.detail["provider_ids"] == {ADA: "49a3\\ud8009c\\u0000"}
    assert "shortened" not in caplog.text


def test_a_lost_reply_is_settled_by_a_repetition_that_sends_nothing_twice(
    tmp_path: Path,
) -> None:
    with FakeResend() as api:
        api.behave(PeerBehaviour.CUT_AFTER_END)
        wait = {"OUTBOX_UNKNOWN_WAIT_SECONDS": 0.05, "OUTBOX_POLL_SECONDS": 0.05}
        app = make_app(tmp_path, MAIL_URL=api.url(), **wait)
        mail = Mail(app)
        with app.app_context():
            receipt = mail.send(Message("Hi", [ADA], body="Hello"))
            eventually(lambda: mail.get(receipt.id).state == "unknown")
            api.behave(PeerBehaviour.ACCEPT)
            eventually(lambda: mail.get(receipt.id).state == "sent")
        assert api.taken == [frozenset({ADA})]
        assert len(api.requests) > 3


def test_hidden_recipients_do_not_see_each_other(tmp_path: Path) -> None:
    with FakeResend() as api:
        app = make_app(tmp_path, MAIL_URL=api.url())
        mail = Mail(app)
        with app.app_context():
            message = Message("Hi", bcc=[ADA, EVE, ZOE], body="Hello")
            assert mail.send_now(message).accepted
        assert [one.json["to"] for one in api.requests] == [[ADA], [EVE], [ZOE]]


def test_a_key_may_be_a_function_that_is_asked_again_when_it_was_rejected(
    tmp_path: Path,
) -> None:
    keys = iter(["old", KEY])
    asked: list[str] = []

    def next_key() -> str:
        asked.append(next(keys))
        return asked[-1]

    class Rotated(FakeResend):
        def _answer(self, request: Any) -> Any:
            if request.headers["authorization"] != f"Bearer {KEY}":
                return self.named(401, "invalid_api_key", "No.")
            return super()._answer(request)

    with Rotated() as api:
        url = api.url().replace(f"{KEY}@", "")
        app = make_app(tmp_path, MAIL_URL=url, MAIL_API_KEY=next_key)
        mail = Mail(app)
        with app.app_context():
            assert mail.send_now(Message("Hi", [ADA], body="Hello")).accepted
    assert asked == ["old", KEY]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"MAIL_URL": "resend://"}, 'as in "resend://KEY@api.resend.com"'),
        ({"MAIL_URL": f"resend://{KEY}@", "MAIL_API_KEY": "b"}, "keep one"),
        ({"MAIL_URL": f"resend://{KEY}@a.example?tls=no"}, "would send its key unenc"),
        ({"MAIL_URL": f"resend://{KEY}@?tl=no"}, "Did you mean tls?"),
    ],
)
def test_invalid_settings_are_refused_without_showing_the_key(
    tmp_path: Path, config: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        Mail(make_app(tmp_path, **config))
    assert words in str(refused.value)
    assert KEY not in str(refused.value)


def test_an_absent_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r'pip install "flask-outbox\[http\]"'):
        Mail(make_app(tmp_path, MAIL_URL=f"resend://{KEY}@"))


def test_a_message_that_the_api_cannot_express_is_refused_at_hand_over(
    tmp_path: Path,
) -> None:
    app = make_app(tmp_path, MAIL_URL=f"resend://{KEY}@")
    mail = Mail(app)
    calendar = Message("Hi", [ADA], body="Hello", alts={"calendar": "BEGIN:VCALENDAR"})
    nameless = Message("Hi", [ADA], body="Hello")
    nameless.attachments.append(Attachment("readme", "text/plain", b"x"))
    with app.app_context():
        for message, words in (
            (calendar, "text/calendar as an alternative"),
            (nameless, "has no ending"),
        ):
            with pytest.raises(MessageError, match=words):
                mail.send(message)


def test_the_apis_certificate_is_verified(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    message = Message("Hi", [ADA], body="Hello")
    with FakeResend(authority.context("127.0.0.1")) as api:
        app = make_app(tmp_path, MAIL_URL=api.url())
        mail = Mail(app)
        with app.app_context(), pytest.raises(TransportDown, match="certificate"):
            mail.send_now(message)
        assert not api.requests
        app = make_app(tmp_path, MAIL_URL=api.url(), MAIL_TLS_CA_FILE=authority.ca_file)
        mail = Mail(app)
        with app.app_context():
            assert mail.send_now(message).accepted


def test_connections_are_kept_and_no_more_than_allowed(tmp_path: Path) -> None:
    with FakeResend() as api:
        app = make_app(tmp_path, MAIL_URL=api.url(), MAIL_MAX_CONNECTIONS=2)
        mail = Mail(app)
        with app.app_context():
            for number in range(30):
                mail.send(Message(f"Hi {number}", [ADA], body="Hello"))
            assert mail.drain(WAIT_SECONDS)
        assert len(api.taken) == 30
        assert api.connections <= 2


def test_a_key_that_is_rejected_pauses_the_lane_and_spends_no_attempt(
    tmp_path: Path,
) -> None:
    with FakeResend() as api:
        api.behave(PeerBehaviour.REJECT_ACCOUNT)
        app = make_app(tmp_path, MAIL_URL=api.url())
        mail = Mail(app)
        with app.app_context():
            receipt = mail.send(Message("Hi", [ADA], body="Hello"))
            eventually(lambda: len(api.requests) >= 3)
            record = mail.get(receipt.id)
            assert record.state in ("pending", "leased")
            assert not [one for one in record.events if one.kind == "deferred"]
            api.behave(PeerBehaviour.ACCEPT)
            eventually(lambda: mail.get(receipt.id).state == "sent")


def test_a_suppressed_recipient_is_not_in_the_request(tmp_path: Path) -> None:
    with FakeResend() as api:
        app = make_app(tmp_path, MAIL_URL=api.url())
        mail = Mail(app)
        with app.app_context():
            mail.suppress(EVE)
            mail.send(Message("Hi", [ADA], cc=[EVE], bcc=[ZOE], body="Hello"))
            assert mail.drain(WAIT_SECONDS)
        (request,) = api.requests
        assert EVE.encode() not in request.body
        assert api.taken == [frozenset({ADA, ZOE})]


@pytest.mark.parametrize(
    ("header", "field"),
    [
        (
            "<mailto:off@example.com>, <https://example.com/off>",
            "https://example.com/off",
        ),
        ("<mailto:off@example.com>", "mailto:off@example.com"),
    ],
)
def test_mailersend_has_a_field_for_unsubscribing(
    tmp_path: Path, header: str, field: str
) -> None:
    headers = {
        "List-Unsubscribe": header,
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "X-Order": "7",
    }
    with FakeMailerSend() as api:
        app = make_app(tmp_path, MAIL_URL=api.url())
        mail = Mail(app)
        message = Message("Hi", [ADA], body="Hello", extra_headers=headers)
        with app.app_context():
            assert mail.send_now(message).accepted
    (request,) = api.requests
    assert request.json["list_unsubscribe"] == field
    assert request.json["headers"] == [{"name": "X-Order", "value": "7"}]
