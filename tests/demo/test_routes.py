"""The demo's routes, asked inside this process."""

from __future__ import annotations

import re
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from flask_outbox.demo.smtp import LocalSmtp
from flask_outbox.demo.tour.crash import CrashResult
from tests.waiting import eventually


def read(client: FlaskClient, path: str) -> Any:
    """What the app says there, as JSON."""
    return client.get(path).get_json()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_send_email_answers_and_the_mail_arrives(
    client: FlaskClient, method: str
) -> None:
    response = client.open("/send-email", method=method)
    assert response.status_code == 202
    assert response.text == "Email sending started!"
    history = read(client, response.headers["Location"])
    arrived = eventually(lambda: read(client, "/now")["arrived"])
    assert [one["known_as"] for one in arrived] == [history["rfc_message_id"]]
    assert [one["subject"] for one in arrived] == [history["subject"]]


def test_each_response_says_how_long_the_app_took(client: FlaskClient) -> None:
    timing = client.post("/send-email").headers["Server-Timing"]
    assert re.fullmatch(r"app;dur=\d+\.\d\d", timing)


def test_a_mail_that_arrived_can_be_read(client: FlaskClient) -> None:
    client.post("/send-email")
    (arrived,) = eventually(lambda: read(client, "/now")["arrived"])
    with client.get(f"/arrived/{arrived['number']}") as source:
        assert source.mimetype == "text/plain"
        text = source.get_data(as_text=True)
    assert f"Message-ID: {arrived['known_as']}" in text
    assert "the app answered before any mail server was asked" in text


@pytest.mark.parametrize("path", ["/", "/tour"])
def test_the_page_sends_requests_only_to_the_demo(
    client: FlaskClient, path: str
) -> None:
    page = client.get(path)
    assert page.status_code == 200
    addresses = re.findall(r'(?:src|href|action)="([^"]*)"', page.text)
    assert addresses
    assert all(re.match(r"[/#](?!/)", address) for address in addresses)
    for address in addresses:
        if address.startswith("/static/"):
            with client.get(address) as file:
                assert file.status_code == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://elsewhere.example"},
        {"Origin": "http://localhost:8000"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/send-email"),
        ("POST", "/send-email"),
        ("POST", "/server"),
        ("POST", "/messages/any/retry"),
        ("POST", "/tour"),
        ("POST", "/tour/crash"),
    ],
)
def test_pages_of_other_sites_cannot_change_anything(
    client: FlaskClient, method: str, path: str, headers: dict[str, str]
) -> None:
    form = {"behaviour": "down"} if path == "/server" else None
    response = client.open(path, method=method, headers=headers, data=form)
    assert response.status_code == 403
    assert response.text == "Only the demo's own page may do this.\n"
    now = read(client, "/now")
    assert now["messages"] == []
    assert now["behaviour"] == "well"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
    ids=str,
)
def test_its_own_page_and_people_can_change_things(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    assert client.post("/send-email", headers=headers).status_code == 202


def test_other_host_names_are_refused(client: FlaskClient) -> None:
    response = client.get("/now", headers={"Host": "elsewhere.example:5000"})
    assert response.status_code == 400
    assert response.text == "The demo answers at http://127.0.0.1 only.\n"


@pytest.mark.parametrize(
    ("form", "fault"),
    [
        ({}, "behaviour is not one of: well, slow, busy, refusing, down."),
        (
            {"behaviour": "odd"},
            "behaviour is not one of: well, slow, busy, refusing, down.",
        ),
        (
            {"behaviour": "slow", "seconds": "nan"},
            "seconds is not a number from 0 to 600.",
        ),
        (
            {"behaviour": "slow", "seconds": "-1"},
            "seconds is not a number from 0 to 600.",
        ),
    ],
)
def test_an_unknown_behaviour_is_refused(
    client: FlaskClient, form: dict[str, str], fault: str
) -> None:
    response = client.post("/server", data=form)
    assert (response.status_code, response.text) == (400, f"{fault}\n")
    assert read(client, "/now")["behaviour"] == "well"


def test_a_server_whose_port_is_in_use_cannot_come_back(
    client: FlaskClient,
) -> None:
    client.post("/server", data={"behaviour": "down"})
    smtp: LocalSmtp = client.application.extensions["demo"].server
    with socket.create_server(("127.0.0.1", smtp.port)):
        response = client.post("/server", data={"behaviour": "well"})
        assert response.status_code == 503
        assert "The SMTP server cannot come back" in response.text
        assert read(client, "/now")["behaviour"] == "down"
        response = client.post("/tour")
        assert response.status_code == 503
        assert "The lesson cannot be given: the SMTP server cannot" in response.text
    assert client.post("/server", data={"behaviour": "well"}).status_code == 204


@pytest.mark.parametrize("step", ["0", "7", "all", None])
def test_an_invalid_crash_is_refused(client: FlaskClient, step: str | None) -> None:
    response = client.post("/tour/crash", data={"step": step} if step else None)
    assert response.status_code == 400
    assert response.text == "step is not a number from 1 to 6.\n"


def test_there_is_one_crash_at_a_time(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def crash(*_: object) -> CrashResult:
        over.wait()
        return CrashResult(None, (), {})

    monkeypatch.setattr("flask_outbox.demo.tour.crash.crash", crash)
    response = client.post("/tour/crash", data={"step": "3"})
    assert response.status_code == 303
    assert response.headers["Location"] == "/tour#losses"
    response = client.post("/tour/crash", data={"step": "4"})
    assert response.status_code == 409
    assert response.text.startswith("One crash at a time")
    assert "An app is being crashed" in client.get("/tour").text
    over.set()
    eventually(lambda: "the user got no answer" in client.get("/tour").text)
    eventually(lambda: "being crashed" not in client.get("/tour").text)
    assert client.post("/tour/crash", data={"step": "4"}).status_code == 303


def test_unknown_ids_are_not_found(client: FlaskClient) -> None:
    message = client.get("/messages/nonesuch")
    assert message.status_code == 404
    assert "nonesuch" in message.text
    arrived = client.get("/arrived/7")
    assert (arrived.status_code, arrived.text) == (404, "No mail 7 has arrived.\n")
    assert client.get("/nowhere").status_code == 404
    lesson = client.get("/tour/nonesuch")
    assert lesson.status_code == 404
    assert "No lesson was given on nonesuch since the demo started." in lesson.text


def test_a_mail_that_arrived_cannot_be_retried(client: FlaskClient) -> None:
    path = client.post("/send-email").headers["Location"]
    eventually(lambda: read(client, path)["state"] == "sent")
    response = client.post(f"{path}/retry")
    assert response.status_code == 409
    assert path.rpartition("/")[2] in response.text


def test_an_unavailable_outbox_is_reported_as_an_error(
    client: FlaskClient, tmp_path: Path
) -> None:
    (tmp_path / "outbox.db").mkdir()
    response = client.post("/send-email")
    assert response.status_code == 503
    assert "outbox.db cannot be used: unable to open" in response.text
