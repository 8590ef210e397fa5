"""The demo by Resend's API: the fake, and a mail that leaves by it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from flask_outbox.demo.app import running
from flask_outbox.demo.check import check
from flask_outbox.demo.resend import KEY, LocalResend
from flask_outbox.demo.server import HOST, Behaviour
from tests.waiting import WAIT_SECONDS

EMAIL = {
    "from": "demo@example.com",
    "to": ["ada@example.org"],
    "subject": "Grüße",
    "text": "Hi",
    "tags": [{"name": "outbox_id", "value": "01KB7J5XZ8Q2W3E4R5T6Y7V8M9"}],
}


@contextmanager
def serving(mailbox: Path) -> Iterator[LocalResend]:
    server = LocalResend(mailbox)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def post(server: LocalResend, email: Any, **headers: str) -> tuple[int, Any]:
    """The status and the body of a reply to another client than ours."""
    with closing(HTTPConnection(HOST, server.port, timeout=WAIT_SECONDS)) as http:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        login = {"Authorization": f"Bearer {KEY}"}
        http.request("POST", "/emails", json.dumps(email), {**login, **named})
        response = http.getresponse()
        return response.status, json.loads(response.read())


def test_a_repeated_request_is_answered_as_before_also_by_the_next_run(
    tmp_path: Path,
) -> None:
    with serving(tmp_path) as server:
        first = post(server, EMAIL, Idempotency_Key="k")
        assert first[0] == 200
        assert post(server, EMAIL, Idempotency_Key="k") == first
    with serving(tmp_path) as server:
        assert post(server, EMAIL, Idempotency_Key="k") == first
        status, told = post(server, {**EMAIL, "text": "Ho"}, Idempotency_Key="k")
        assert (status, told["name"]) == (409, "invalid_idempotent_request")
        (arrival,) = server.arrived
        assert arrival.subject == "Grüße"
        assert arrival.known_as == first[1]["id"]
        assert arrival.message_id == EMAIL["tags"][0]["value"]  # type: ignore[index]


def test_a_refused_mail_does_not_arrive(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        nobody = post(server, {**EMAIL, "to": []})
        stranger = post(server, EMAIL, Authorization="Bearer another")
        server.behave(Behaviour.BUSY)
        busy = post(server, EMAIL)
        server.behave(Behaviour.REFUSING)
        refusing = post(server, EMAIL)
        assert server.arrived == ()
    found = [(status, told["name"]) for status, told in (nobody, stranger, busy)]
    assert found == [
        (422, "missing_required_field"),
        (401, "invalid_api_key"),
        (503, "service_unavailable"),
    ]
    assert refusing[1]["message"] == "There is no such mailbox here."


def test_check_sends_by_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(0, tmp_path, "resend") as demo:
        check(demo)
        (arrival,) = demo.server.arrived
        with closing(HTTPConnection(demo.address[7:-1], timeout=WAIT_SECONDS)) as http:
            http.request("GET", "/")
            page = http.getresponse().read().decode()
    said = capsys.readouterr().out
    assert f"Mail {arrival.known_as} arrived at the fake of Resend." in said
    assert "The fake of Resend is …" in page
    assert "tour" not in page
