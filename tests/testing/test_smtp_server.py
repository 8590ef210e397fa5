"""A scripted server in conversation with a courier, and what the outbox says of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from flask_outbox import ConfigError, Mail, Message, State
from flask_outbox.testing import OutboxWorker, RecordedOutbox, SmtpServer
from tests.mail.site import ADA, BOB, PUT_OFF_FOR_LONG, SENDER, make_app

LATER, NEVER = "451 4.0.0 Not now, says the script", "550 5.0.0 No, says the script"
KEPT = "250 2.0.0 Kept as mail 1"
HOUR = 3_600.0


@pytest.fixture
def send(tmp_path: Path, smtp_server: SmtpServer, outbox: RecordedOutbox) -> Any:
    """Sends a message to Ada and Bob from an app whose mail goes to the server."""
    settings = {
        "TESTING": True,
        "MAIL_SUPPRESS_SEND": False,
        **PUT_OFF_FOR_LONG,
        "OUTBOX_UNKNOWN_WAIT_SECONDS": HOUR,
        "MAIL_URL": smtp_server.url,
    }
    mails: list[Mail] = []

    def send(**more: Any) -> Mail:
        mails.append(Mail(make_app(tmp_path, **{**settings, **more})))
        mails[-1].send(Message("Hello", [ADA, BOB], "Hello\n"))
        return mails[-1]

    yield send
    for mail in mails:
        mail.stop()


def _replies(outbox: RecordedOutbox) -> list[str]:
    record = outbox.last.record
    assert record is not None
    return [str(one.reply) for one in record.recipients]


def _state(outbox: RecordedOutbox) -> State:
    return outbox.last.state


def _id(outbox: RecordedOutbox) -> str:
    assert outbox.last.id
    return outbox.last.id


@pytest.mark.parametrize(
    ("script", "state", "replies", "arrived"),
    [
        ("accept", State.SENT, [KEPT, KEPT], [(ADA, BOB)]),
        ("slow 20 ms", State.SENT, [KEPT, KEPT], [(ADA, BOB)]),
        ("451 on the second RCPT", State.PENDING, [KEPT, LATER], [(ADA,)]),
        (f"550 on RCPT {BOB}", State.FAILED, [KEPT, NEVER], [(ADA,)]),
        (
            f"451 on RCPT {ADA}; 550 on RCPT {BOB}",
            State.PENDING,
            [LATER, NEVER],
            [],
        ),
        ("451 on MAIL", State.PENDING, [LATER, LATER], []),
        ("550 on DATA", State.FAILED, [NEVER, NEVER], []),
        (
            '552 "5.2.2 Mailbox full" on the final dot',
            State.FAILED,
            ["552 5.2.2 Mailbox full"] * 2,
            [],
        ),
        (
            "close after the final dot",
            State.UNKNOWN,
            ["connection lost after the final dot"] * 2,
            [(ADA, BOB)],
        ),
    ],
)
def test_the_outbox_records_what_the_script_replies(
    send: Any,
    smtp_server: SmtpServer,
    outbox: RecordedOutbox,
    script: str,
    state: State,
    replies: list[str],
    arrived: list[tuple[str, ...]],
):
    smtp_server.script(script)
    send()
    outbox.drain()
    assert (_state(outbox), _replies(outbox)) == (state, replies)
    assert [mail.recipients for mail in smtp_server.mails] == arrived


def test_a_stall_longer_than_the_timeout_makes_the_message_unknown(
    send: Any, smtp_server: SmtpServer, outbox: RecordedOutbox
):
    smtp_server.script("stall 600 s, then accept")
    mail = send(MAIL_DATA_TIMEOUT_SECONDS=1.5)
    outbox.drain()
    assert _state(outbox) is State.UNKNOWN
    assert smtp_server.mails == []
    mail.release(_id(outbox))
    outbox.drain()
    assert _state(outbox) is State.SENT
    assert len(smtp_server.mails) == 1


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("421 at the greeting, then accept", "turned us away with its greeting"),
        ("close at the greeting, then accept", "closed the connection before its"),
        ("421 on EHLO, then accept", "421 4.0.0 Not now"),
        ("535 on AUTH, then accept", "rejected the login of 'ada'"),
    ],
)
def test_a_server_in_trouble_costs_no_attempt(
    send: Any,
    smtp_server: SmtpServer,
    outbox: RecordedOutbox,
    caplog: pytest.LogCaptureFixture,
    script: str,
    reason: str,
):
    smtp_server.script(script)
    url = smtp_server.url.replace("//", "//ada:pass@")
    soon = {"OUTBOX_LANE_PAUSE_CAP_SECONDS": 0.001}
    send(MAIL_URL=url, MAIL_AUTH_UNENCRYPTED=True, **soon)
    outbox.drain()
    assert _state(outbox) is State.SENT
    paused = [one.getMessage() for one in caplog.records if "paused" in one.message]
    assert len(paused) == 1
    assert reason in paused[0]
    assert smtp_server.mails[0].login == "ada"
    assert "pass" not in smtp_server.summary()


def test_refused_connections_pause_the_lane(
    send: Any, smtp_server: SmtpServer, outbox: RecordedOutbox
):
    smtp_server.script("refuse connections")
    mail = send()
    assert mail.drain(timeout_seconds=0.2) is False
    assert _state(outbox) is State.PENDING
    smtp_server.script("accept")
    outbox.drain()
    assert _state(outbox) is State.SENT


def test_a_retry_succeeds_after_the_script(
    send: Any, smtp_server: SmtpServer, outbox: RecordedOutbox
):
    smtp_server.script("451 on the first message, then accept")
    mail = send()
    outbox.drain()
    assert _state(outbox) is State.PENDING
    mail.retry(_id(outbox))
    outbox.drain()
    assert _state(outbox) is State.SENT


def test_arrived_mails_can_be_read(
    send: Any, smtp_server: SmtpServer, outbox: RecordedOutbox
):
    mail = send()
    outbox.drain()
    (arrived,) = smtp_server.wait_for(1)
    assert (arrived.subject, arrived.text) == ("Hello", "Hello\n")
    assert repr(arrived) == f"<ArrivedMail 'Hello' to {ADA}, {BOB}>"
    assert (arrived.return_path, arrived.login) == (SENDER, None)
    assert arrived.rfc_message_id == outbox.last.rfc_message_id
    assert "C: RCPT TO:<ada@example.org>" in smtp_server.dialogue
    assert smtp_server.dialogue[-2:] == [f"S: {KEPT}", "S: 221 Bye"]
    with pytest.raises(AssertionError, match=r"Only 1 of 2 mails arrived within 0 s\."):
        smtp_server.wait_for(2, timeout_seconds=0)
    assert mail.get(_id(outbox)).attempts[0].outcome == "sent"


def test_an_unused_script_fails_the_test():
    with SmtpServer() as server:
        server.script("451 on the second RCPT")
        server.script("accept")
        with pytest.raises(AssertionError) as raised:
            server.check_script()
    said = str(raised.value).splitlines()
    assert said[:2] == [
        "The script's rule '451 on the second RCPT' was never used.",
        "The script's rule 'accept' was never used.",
    ]
    assert said[-1] == "nothing was said"


# ------------------------------------------------------------------------- a worker


def test_a_worker_is_killed_between_accept_and_record(
    send: Any, smtp_server: SmtpServer, outbox: RecordedOutbox, outbox_worker: Any
):
    smtp_server.script("die between accept and record, then accept")
    send(OUTBOX_LEASE_SECONDS=1, OUTBOX_GRACE_SECONDS=20)
    outbox_worker(outbox.last.app).wait_until_dead()
    assert _state(outbox) is State.LEASED
    assert len(smtp_server.mails) == 1

    worker = outbox_worker(outbox.last.app)
    first, second = smtp_server.wait_for(2)
    assert first.rfc_message_id == second.rfc_message_id
    worker.stop()
    assert not worker.alive
    assert _state(outbox) is State.SENT


def test_a_worker_renders_a_message_rendered_later(
    tmp_path: Path, smtp_server: SmtpServer, outbox: RecordedOutbox, outbox_worker: Any
):
    leaves = {"MAIL_URL": smtp_server.url, "MAIL_SUPPRESS_SEND": False}
    app = make_app(tmp_path, TESTING=True, OUTBOX_GRACE_SECONDS=20, **leaves)
    app.template_folder = str(tmp_path)
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / "bill.txt").write_text("You owe us {{ debt }} coins.\n")
    mail = Mail(app)
    with app.app_context():
        mail.send(Message.from_template("bill", [ADA], "Bill", debt=17, render="later"))
    worker = outbox_worker(app)
    with pytest.raises(AssertionError, match="still alive after 0 s"):
        worker.wait_until_dead(timeout_seconds=0)
    (arrived,) = smtp_server.wait_for(1)
    assert arrived.text == "You owe us 17 coins.\n"
    worker.stop()
    assert _state(outbox) is State.SENT


def test_die_without_a_worker_is_an_error(
    send: Any, smtp_server: SmtpServer, outbox: RecordedOutbox
):
    with SmtpServer() as server:
        server.script("die between accept and record")
        send(MAIL_URL=server.url)
        outbox.drain()
        assert _state(outbox) is State.UNKNOWN
        with pytest.raises(AssertionError, match="no worker was there to die"):
            server.check_script()


def test_a_setting_that_cannot_be_pickled_is_named(tmp_path: Path):
    app = make_app(tmp_path, TESTING=True, MAIL_OAUTH_TOKEN=lambda: "token")
    Mail(app)
    with pytest.raises(ConfigError, match="MAIL_OAUTH_TOKEN cannot be given to a work"):
        OutboxWorker(app)


def test_a_missing_aiosmtpd_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "flask_outbox.testing.smtp_handler", raising=False)
    monkeypatch.setitem(sys.modules, "aiosmtpd.smtp", None)
    with pytest.raises(ConfigError, match=r'pip install "flask-outbox\[testing\]"'):
        SmtpServer()
