"""`record_messages`: collects the messages that are sent, as in Flask-Mail."""

from __future__ import annotations

from email.message import EmailMessage

import pytest

from flask_outbox import Message, MessageError
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA
from tests.servers import JournalSmtp


def _subjects(messages: list) -> list[str]:
    return [message.subject for message in messages]


def test_messages_sent_inside_the_block_are_recorded(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(TESTING=True)
    standard = EmailMessage()
    standard["To"] = ADA
    before, first, second, after = (
        Message(subject, [ADA], "Hello\n") for subject in ("0", "1", "2", "4")
    )
    site.mail.send(before)
    with site.mail.record_messages() as outbox:
        assert outbox == []
        site.mail.send(first)
        site.mail.send_now(second)
        site.mail.send(standard)
        assert outbox == [first, second, standard]
    site.mail.send(after)
    assert outbox == [first, second, standard]
    assert server.connections_made == 0


def test_a_message_sent_by_a_view_is_recorded(make_site: MakeSite):
    site = make_site(TESTING=True)

    @site.app.post("/send-email")
    def send_email():
        site.mail.send_message("Hello", [ADA], "Hello\n")
        return "Email sending started!"

    with site.mail.record_messages() as outbox:
        site.app.test_client().post("/send-email")
    assert outbox[0].subject == "Hello"  # which type checkers accept


def test_a_refused_message_is_not_recorded(make_site: MakeSite):
    site = make_site(TESTING=True)
    with site.mail.record_messages() as outbox, pytest.raises(MessageError):
        site.mail.send_message("Hello", ["ada@"], "Hello\n")
    assert outbox == []


def test_nested_blocks_each_record_what_is_sent_inside(make_site: MakeSite):
    site = make_site(TESTING=True)
    with site.mail.record_messages() as outer:
        site.mail.send_message("1", [ADA])
        with site.mail.record_messages() as inner:
            site.mail.send_message("2", [ADA])
    assert _subjects(outer) == ["1", "2"]
    assert _subjects(inner) == ["2"]


def test_the_recording_ends_when_the_block_raises(make_site: MakeSite):
    site = make_site(TESTING=True)
    with pytest.raises(RuntimeError), site.mail.record_messages() as outbox:
        raise RuntimeError
    site.send()
    assert outbox == []


def test_a_duplicate_is_not_recorded(make_site: MakeSite):
    site = make_site(TESTING=True)
    with site.mail.record_messages() as outbox:
        for subject in ("1", "2"):
            site.mail.send(Message(subject, [ADA]), key="order-17")
    assert _subjects(outbox) == ["1"]
