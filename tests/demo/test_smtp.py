"""The demo's own mail server, spoken to by another client than ours."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flask_outbox.demo.server import HOST, Behaviour
from flask_outbox.demo.smtp import LocalSmtp
from tests.waiting import eventually

MAIL = (
    "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <{}@example.com>\r\n\r\nHi\r\n"
)


@contextmanager
def serving(mailbox: Path) -> Iterator[LocalSmtp]:
    server = LocalSmtp(mailbox)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def deliver(server: LocalSmtp, name: str) -> None:
    with smtplib.SMTP(HOST, server.port) as client:
        client.sendmail("demo@example.com", ["ada@example.org"], MAIL.format(name))


def test_arrivals_of_an_earlier_run_are_included(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        deliver(server, "first")
        (before,) = server.arrived
    with serving(tmp_path) as server:
        assert list(server.arrived) == [before]
        deliver(server, "second")
        first, second = server.arrived
    assert (first.number, second.number) == (1, 2)
    assert first.subject == "Grüße"
    assert [one.known_as for one in (first, second)] == [
        "<first@example.com>",
        "<second@example.com>",
    ]
    assert second.path.read_text().endswith("\nHi\n")


@pytest.mark.parametrize(
    ("behaviour", "code"), [(Behaviour.BUSY, 451), (Behaviour.REFUSING, 550)]
)
def test_a_refused_mail_does_not_arrive(
    tmp_path: Path, behaviour: Behaviour, code: int
) -> None:
    with serving(tmp_path) as server:
        server.behave(behaviour)
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            deliver(server, "refused")
        assert refused.value.recipients["ada@example.org"][0] == code
        assert server.arrived == ()


def test_it_is_slow_for_one_mail_only(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.behave(Behaviour.REFUSING)
        server.take_time(600)
        with smtplib.SMTP(HOST, server.port) as slow:
            slow.ehlo()
            slow.mail("demo@example.com")
            slow.rcpt("ada@example.org")
            slow.docmd("DATA")
            slow.send(MAIL.format("slow").encode() + b".\r\n")
            eventually(lambda: not server.next_seconds)
            deliver(server, "quick")
            assert [one.known_as for one in server.arrived] == ["<quick@example.com>"]
            slow.close()


def test_stopping_cuts_every_connection(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        client = smtplib.SMTP(HOST, server.port)
        client.ehlo()
    with pytest.raises(smtplib.SMTPServerDisconnected):
        client.noop()
    client.close()
