"""Apps that send by Microsoft Graph and Gmail, with tokens that are renewed."""

from __future__ import annotations

import logging
from base64 import b64decode
from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_outbox import (
    AccountTrouble,
    Attachment,
    ConfigError,
    Mail,
    Message,
    MessageError,
    oauth,
)
from tests.servers.http_api import KEY, Answer, Request
from tests.servers.token_endpoint import TokenEndpoint, granted, refused
from tests.transports.fakes import FakeGmail, FakeGraph
from tests.waiting import WAIT_SECONDS, eventually

from .test_apps import ADA, EVE, ZOE, make_app

SECRET = "s3cret-that-nobody-may-see"


class Graph(FakeGraph):
    """Takes one token, and 401 is what others get; and mail with any subject."""

    token = KEY

    def _answer(self, request: Request) -> Answer:
        if request.headers["authorization"] != f"Bearer {self.token}":
            return self.coded(401, "InvalidAuthenticationToken", "It has ended.")
        return super()._answer(request)

    def recipients(self, request: Request) -> frozenset[str]:
        message = read(request)
        headers = (message[one] for one in ("To", "Cc", "Bcc") if message[one])
        return frozenset(one.addr_spec for some in headers for one in some.addresses)


def read(request: Request) -> EmailMessage:
    made = message_from_bytes(b64decode(request.body), policy=SMTP)
    assert isinstance(made, EmailMessage)
    return made


@pytest.fixture
def graph() -> Iterator[Graph]:
    with Graph() as graph:
        yield graph


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    with TokenEndpoint() as endpoint:
        endpoint.answer = lambda _: granted(KEY)
        yield endpoint


def tokens_of(endpoint: TokenEndpoint) -> oauth.AccessTokens:
    return oauth.microsoft(
        tenant="example.com",
        client_id="app-1",
        client_secret=SECRET,
        authority=endpoint.url,
    )


def sends_by(graph: Graph, endpoint: TokenEndpoint, folder: Path, **more: Any) -> Flask:
    url = f"graph://127.0.0.1:{graph.port}?tls=no&mailbox=shop@example.com"
    return make_app(folder, MAIL_URL=url, MAIL_API_KEY=tokens_of(endpoint), **more)


def test_many_messages_share_one_token(
    graph: Graph, endpoint: TokenEndpoint, tmp_path: Path
) -> None:
    app = sends_by(graph, endpoint, tmp_path)
    mail = Mail(app)
    with app.app_context():
        for number in range(20):
            mail.send(Message(f"Hi {number}", [ADA], body="Hello"))
        assert mail.drain(WAIT_SECONDS)
    assert len(graph.taken) == 20
    assert len(endpoint.forms) == 1


def test_a_token_that_is_rejected_is_renewed_once_for_all(
    graph: Graph, endpoint: TokenEndpoint, tmp_path: Path
) -> None:
    tokens = iter(["taken-back", KEY, "one-too-many"])
    endpoint.answer = lambda _: granted(next(tokens))
    app = sends_by(graph, endpoint, tmp_path)
    mail = Mail(app)
    with app.app_context():
        receipts = [
            mail.send(Message(f"Hi {number}", [ADA], body="Hello"))
            for number in range(10)
        ]
        assert mail.drain(WAIT_SECONDS)
        records = [mail.get(one.id) for one in receipts]
    assert [one.state for one in records] == ["sent"] * 10
    assert not [one for it in records for one in it.events if one.kind == "deferred"]
    assert len(endpoint.forms) == 2


def test_a_renewed_token_that_is_rejected_too_is_a_fault_of_the_account(
    graph: Graph, endpoint: TokenEndpoint, tmp_path: Path
) -> None:
    graph.token = "another"
    app = sends_by(graph, endpoint, tmp_path)
    mail = Mail(app)
    with app.app_context(), pytest.raises(AccountTrouble, match="401 InvalidAuth"):
        mail.send_now(Message("Hi", [ADA], body="Hello"))
    assert len(endpoint.forms) == 2
    assert len(graph.requests) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "invalid_client"),
        (400, "invalid_grant"),
        (429, "slow_down"),
        (500, "server_error"),
    ],
)
def test_without_a_token_the_lane_pauses_and_no_attempt_is_spent(
    status: int,
    code: str,
    graph: Graph,
    endpoint: TokenEndpoint,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    endpoint.answer = lambda form: refused(
        status, code, f"No {form['client_secret']}.", Retry_After="0"
    )
    app = sends_by(graph, endpoint, tmp_path, OUTBOX_LANE_PAUSE_CAP_SECONDS=0.2)
    mail = Mail(app)
    with app.app_context():
        receipt = mail.send(Message("Hi", [ADA], body="Hello"))
        eventually(lambda: len(endpoint.forms) >= 5)
        record = mail.get(receipt.id)
        assert record.state in ("pending", "leased")
        assert not [one for one in record.events if one.kind == "deferred"]
        assert not graph.requests
        endpoint.answer = lambda _: granted(KEY)
        eventually(lambda: mail.get(receipt.id).state == "sent")
        record = mail.get(receipt.id)
    eventually(lambda: code in caplog.text)
    for secret in (SECRET, KEY):
        assert secret not in caplog.text
        assert secret not in repr(record)
        assert secret not in repr(app.extensions["outbox"].settings)


def test_a_suppressed_recipient_is_in_no_header(
    graph: Graph, endpoint: TokenEndpoint, tmp_path: Path
) -> None:
    app = sends_by(graph, endpoint, tmp_path)
    mail = Mail(app)
    with app.app_context():
        mail.suppress(EVE)
        to = [("Ada Ångström", ADA)]
        mail.send(Message("Hi", to, cc=[EVE], bcc=[ZOE], body="Hello"))
        assert mail.drain(WAIT_SECONDS)
    (request,) = graph.requests
    message = read(request)
    assert EVE not in message.as_string()
    assert message["To"] == f"Ada Ångström <{ADA}>"
    assert message["Bcc"] == ZOE
    assert message["Cc"] is None
    assert message.get_content().strip() == "Hello"


def test_recipients_in_bcc_stay_hidden_and_are_mailed_at_once(
    graph: Graph, endpoint: TokenEndpoint, tmp_path: Path
) -> None:
    app = sends_by(graph, endpoint, tmp_path)
    mail = Mail(app)
    with app.app_context():
        report = mail.send_now(Message("Hi", bcc=[ADA, ZOE], body="Hello"))
    assert report.accepted
    (request,) = graph.requests
    message = read(request)
    assert message["To"] == "undisclosed-recipients:;"
    assert message["Bcc"] == f"{ADA}, {ZOE}"


def test_a_message_to_all_whom_it_names_leaves_byte_for_byte(
    graph: Graph, endpoint: TokenEndpoint, tmp_path: Path
) -> None:
    app = sends_by(graph, endpoint, tmp_path)
    mail = Mail(app)
    with app.app_context():
        message = Message("Hi", [("Ada", ADA)], cc=[EVE], body="Hello")
        receipt = mail.send(message)
        assert mail.drain(WAIT_SECONDS)
        content = mail.content(receipt.id)
    assert b64decode(graph.requests[0].body) == content


def test_a_message_that_is_too_large_is_refused_at_hand_over(
    graph: Graph, endpoint: TokenEndpoint, tmp_path: Path
) -> None:
    app = sends_by(graph, endpoint, tmp_path)
    mail = Mail(app)
    message = Message("Hi", [ADA], body="Hello")
    message.attachments.append(
        Attachment("a.bin", "application/octet-stream", b"x" * 3_000_000)
    )
    with app.app_context(), pytest.raises(MessageError, match="takes 3 MB"):
        mail.send(message)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("graph://?mailbox=shop@example.com", "set MAIL_API_KEY to what"),
        (f"graph://{KEY}@", 'write "graph://?mailbox=shop@example.com"'),
        ("gmail://", "set MAIL_API_KEY to what"),
    ],
)
def test_invalid_settings_are_refused(tmp_path: Path, url: str, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Mail(make_app(tmp_path, MAIL_URL=url))
    assert words in str(refused.value)


def test_the_history_has_gmails_id(endpoint: TokenEndpoint, tmp_path: Path) -> None:
    class Gmail(FakeGmail):
        def recipients(self, request: Request) -> frozenset[str]:
            return frozenset({ADA})

    tokens = oauth.google(
        client_id="app-1",
        client_secret=SECRET,
        refresh_token="r-1",
        token_url=f"{endpoint.url}/token",
    )
    with Gmail() as gmail:
        url = f"gmail://127.0.0.1:{gmail.port}?tls=no"
        app = make_app(tmp_path, MAIL_URL=url, MAIL_API_KEY=tokens)
        mail = Mail(app)
        with app.app_context():
            receipt = mail.send(Message("Hi", [ADA], body="Hello"))
            assert mail.drain(WAIT_SECONDS)
            record = mail.get(receipt.id)
        (request,) = gmail.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"
    (sent,) = [one for one in record.events if one.kind == "sent"]
    assert sent.detail["provider_ids"] == {ADA: "19abc0123456789f"}
