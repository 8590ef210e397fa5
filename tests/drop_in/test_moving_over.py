"""What apps and their suites do with Flask-Mail beyond its documentation."""

from __future__ import annotations

import email
import email.policy
import smtplib
from typing import Any
from unittest import mock

import pytest
from flask import Flask

from flask_outbox import AddressError, HeaderError, MessageError, OutboxUnavailable
from tests.drop_in.conftest import MakeApp
from tests.drop_in.peers import ours
from tests.mail.site import ADA, BOB, SENDER
from tests.servers import JournalSmtp
from tests.waiting import WAIT_SECONDS

# ------------------------------------------------------------------------- settings


def test_state_suppress_stops_sending(
    peer: Any, app: Flask, server: JournalSmtp
) -> None:
    mail = peer.Mail(app)
    with app.app_context(), mail.record_messages() as outbox:
        mail.state.suppress = True
        mail.send(peer.Message("Kept", [ADA], "Hello\n"))
        app.extensions["mail"].suppress = False
        mail.send(peer.Message("Sent", [ADA], "Hello\n"))
    (arrived,) = server.wait_for(1)
    assert b"Subject: Sent" in arrived.content
    assert [one.subject for one in outbox] == ["Kept", "Sent"]


def test_mail_sent_while_suppressed_never_leaves(app: Flask) -> None:
    mail = ours.Mail(app)
    mail.state.suppress = True
    receipt = mail.send(ours.Message("Kept", [ADA]))
    many = mail.send_many([ours.Message("Kept", [ADA])])
    assert mail.get(receipt.id).state == "cancelled"
    assert mail.batch(many.id).counts["cancelled"] == 1
    mail.state.suppress = False
    assert mail.drain(WAIT_SECONDS)
    assert mail.get(receipt.id).state == "cancelled"


def test_suppression_can_be_turned_off_under_testing(
    peer: Any, make_app: MakeApp, server: JournalSmtp
) -> None:
    app = make_app(TESTING=True)
    mail = peer.Mail(app)
    with app.app_context():
        mail.send_message("Kept", [ADA])
        mail.state.suppress = False
        mail.send_message("Sent", [ADA], "Hello\n")
        if peer is ours:
            assert mail.drain(WAIT_SECONDS)
    assert [b"Subject: Sent" in one.content for one in server.mails] == [True]


def test_the_server_can_be_changed_in_the_state(
    peer: Any, make_app: MakeApp, server: JournalSmtp
) -> None:
    app = make_app(MAIL_SERVER="localhost", MAIL_PORT=1)
    mail = peer.Mail(app)
    mail.state.server, mail.state.port = server.host, server.port
    with app.app_context():
        mail.send_message("Hello", [ADA], "Hello\n")
    server.wait_for(1)
    assert (mail.state.server, mail.state.use_tls) == (server.host, False)


def test_a_default_sender_configured_after_init_is_used(make_app: MakeApp) -> None:
    app = make_app(TESTING=True, MAIL_DEFAULT_SENDER=None)
    mail = ours.Mail(app)
    app.config["MAIL_DEFAULT_SENDER"] = SENDER
    assert mail.get(mail.send_message("Hello", [ADA]).id).return_path == SENDER


def test_ascii_attachments_can_be_changed_in_the_state(
    peer: Any, make_app: MakeApp
) -> None:
    app = make_app(TESTING=True)
    mail = peer.Mail(app)
    with app.app_context():
        mail.state.ascii_attachments = True
        message = peer.Message("Hello", [ADA], "Hello\n")
        message.attach("r\u00e9sum\u00e9.txt", "text/plain", b"x")
        assert "resume.txt" in message.as_string()


# --------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "theirs", "own"),
    [
        ({"recipients": ["nobody"]}, smtplib.SMTPRecipientsRefused, AddressError),
        ({"sender": "nobody"}, smtplib.SMTPSenderRefused, AddressError),
        ({"extra_headers": {"X Y": "z"}}, ours.BadHeaderError, HeaderError),
        ({"extra_headers": {"X": "a\nb"}}, ours.BadHeaderError, HeaderError),
        ({"charset": "x-none"}, smtplib.SMTPDataError, MessageError),
        ({"mail_options": ["a b"]}, OSError, MessageError),
    ],
    ids=str,
)
def test_refusals_are_caught_by_the_same_except(
    app: Flask, arguments: dict[str, Any], theirs: Any, own: Any
) -> None:
    mail = ours.Mail(app)
    message = ours.Message(**{"subject": "Hello", "recipients": [ADA], **arguments})
    for send in (mail.send, mail.send_now):
        with pytest.raises(theirs) as refused:
            send(message)
        assert isinstance(refused.value, own)
        assert refused.value.problem in str(refused.value)


def test_an_unavailable_outbox_is_caught_by_the_same_except(make_app: MakeApp) -> None:
    app = make_app(OUTBOX_URL="postgresql://nobody@127.0.0.1:1/none", TESTING=True)
    mail = ours.Mail(app)
    with pytest.raises(smtplib.SMTPException) as refused:
        mail.send_message("Hello", [ADA])
    assert isinstance(refused.value, OutboxUnavailable)


@pytest.mark.parametrize(
    "arguments",
    [
        {"recipients": ["nobody"]},
        {"recipients": ["to\r\n@example.org", ADA]},
        {"sender": "nobody at all"},
        {"reply_to": "evil@example.com\r"},
        {"subject": "a\nb"},
        {"extra_headers": {"X": "a\nb"}},
    ],
    ids=str,
)
def test_an_invalid_message_can_be_printed(
    app: Flask, arguments: dict[str, Any]
) -> None:
    ours.Mail(app)
    message = ours.Message(**{"subject": "Hello", "recipients": [ADA], **arguments})
    assert "Subject: " in f"{message}" == message.as_string()
    assert bytes(message) == message.as_bytes()


def test_as_bytes_tidies_addresses(peer: Any, app: Flask) -> None:
    peer.Mail(app)
    with app.app_context():
        message = peer.Message(
            "Hello",
            sender=("Ä → ✓", "sender\r\n@example.com>"),
            reply_to="reply\r\n@example.com",
            recipients=["to\r\n@example.com", ADA],
        )
        text = message.as_string()
    for wanted in ("<sender@example.com>", "reply@example.com", "to@example.com", ADA):
        assert wanted in text


# ------------------------------------------------------------------------ subclasses


class Signed(ours.Message):
    """Signs what it says, over exactly these bytes."""

    def as_bytes(self) -> bytes:
        own: bytes = super().as_bytes()
        return b"X-Signature: of-these-bytes\r\n" + own


class Marked(ours.Message):
    def _message(self) -> Any:
        message = super()._message()
        message["X-Mark"] = "yes"
        return message


def test_the_bytes_of_a_subclass_are_sent(app: Flask, server: JournalSmtp) -> None:
    mail = ours.Mail(app)
    with app.app_context():
        signed = Signed("Hello", [ADA], "Hello\n", bcc=[BOB])
        wanted = signed.as_bytes()
        mail.send(signed)
        marked = Marked("Hello", [ADA], "Hello\n")
        mail.send(marked)
    arrived = {one.rfc_message_id: one for one in server.wait_for(2)}
    assert arrived[signed.msgId].content == wanted
    assert set(arrived[signed.msgId].recipients) == {ADA, BOB}
    assert b"X-Mark: yes\r\n" in arrived[marked.msgId].content


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("text".encode("utf-16"), "not ASCII"),
        (b"From: a@example.org\nDate: x\nBcc: b@example.org\n\nx", "wrote a Bcc"),
        (b"Hello", "no From or Date"),
        (b"From: a\nDate: b\n\n" + b"x" * 1000, "a line of more than"),
        ("text", "returned str"),
    ],
    ids=str,
)
def test_bytes_of_a_subclass_that_cannot_be_sent_are_refused(
    app: Flask, written: Any, problem: str
) -> None:
    class Written(ours.Message):
        def as_bytes(self) -> Any:
            return written

    with pytest.raises(smtplib.SMTPDataError, match=problem):
        ours.Mail(app).send(Written("Hello", [ADA], "Hello\n"))


def test_overrides_in_subclasses_are_called(
    peer: Any, app: Flask, server: JournalSmtp
) -> None:
    called = []

    class Own(peer.Mail):
        def connect(self) -> Any:
            called.append("connect")
            return super().connect()

        def send(self, message: Any) -> Any:
            called.append("send")
            with self.connect() as connection:
                return message.send(connection)

    class Hooked(peer.Message):
        def send(self, connection: Any) -> Any:
            called.append("message")
            return super().send(connection)

    mail = Own(app)
    with app.app_context():
        mail.send(Hooked("Hello", [ADA], "Hello\n"))
        app.extensions["mail"].send(Hooked("Hello", [ADA], "Hello\n"))
    assert called == ["send", "connect", "message", "message"]
    server.wait_for(2)


def test_a_subclass_may_send_through_the_app(app: Flask, server: JournalSmtp) -> None:
    class Own(ours.Mail):
        def send(self, message: Any) -> Any:
            return app.extensions["mail"].send(message)

    with app.app_context():
        assert Own(app).send(ours.Message("Hello", [ADA], "Hello\n")).id
    server.wait_for(1)


def test_send_can_be_mocked_repeatedly(peer: Any, make_app: MakeApp) -> None:
    app = make_app(TESTING=True)
    mail = peer.Mail(app)
    for target in (mail, mail.state, mail, mail.state):
        target.send = mock.Mock()
        target.send("anything")
        target.send.assert_called_once_with("anything")
    with mock.patch.object(peer._MailMixin, "send_message") as send_message:
        peer.Mail(app).send_message("Hello")
    send_message.assert_called_once_with("Hello")


def test_a_host_set_on_the_connection_sends_at_once(
    peer: Any, make_app: MakeApp
) -> None:
    mail = peer.Mail(app := make_app(TESTING=True))
    to = "Ä → ✓ <to@example.com>"
    with app.app_context(), mail.record_messages() as outbox, mail.connect() as one:
        message = peer.Message("Hello", [to], "Ö")
        with mock.patch.object(one, "host") as host:
            one.send(message)
        host.sendmail.assert_called_once_with(
            SENDER,
            [peer.sanitize_address(to)],
            message.as_bytes(),
            message.mail_options,
            message.rcpt_options,
        )
    assert (outbox, one.num_emails) == ([message], 1)


# ----------------------------------------------------------------------------- form


def test_html_alone_gets_an_empty_text(peer: Any, app: Flask) -> None:
    peer.Mail(app)
    with app.app_context():
        text = peer.Message("Hello", [ADA], html="<p>Hello</p>").as_string()
    parts = email.message_from_string(text, policy=email.policy.default).walk()
    types = [one.get_content_type() for one in parts]
    assert types[-3:] == ["multipart/alternative", "text/plain", "text/html"]
    assert 'Content-Type: text/plain; charset="utf-8"' in text
    assert 'Content-Type: text/html; charset="utf-8"' in text
