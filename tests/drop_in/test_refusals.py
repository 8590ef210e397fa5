"""What Flask-Mail refuses before it asks a server is refused by the same names."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from flask_outbox import AddressError, HeaderError, Message, MessageError
from tests.drop_in.conftest import MakeApp
from tests.drop_in.peers import ours
from tests.mail.site import ADA, SENDER

BAD = "evil\r\nBcc: all@example.org"


def test_a_message_without_recipients_is_refused(peer: Any, app: Flask) -> None:
    mail = peer.Mail(app)
    with app.app_context(), pytest.raises(AssertionError, match="No recipients"):
        mail.send(peer.Message("Hello"))


def test_a_message_without_a_sender_is_refused(peer: Any, make_app: MakeApp) -> None:
    app = make_app(MAIL_DEFAULT_SENDER=None)
    mail = peer.Mail(app)
    with app.app_context(), pytest.raises(AssertionError, match="sender"):
        mail.send(peer.Message("Hello", [ADA]))


@pytest.mark.parametrize(
    "arguments",
    [
        {"subject": BAD},
        {"subject": "a\nb"},
        {"subject": "\r\n a"},
        {"subject": "a\r\n "},
        {"subject": "a\r\n b\r\nc"},
        {"sender": f"me@example.com{BAD}"},
        {"sender": (BAD, "me@example.com")},
        {"recipients": [ADA, f"{ADA}{BAD}"]},
        {"recipients": [(BAD, ADA)]},
        {"reply_to": BAD},
    ],
    ids=str,
)
def test_line_breaks_in_headers_are_refused(
    peer: Any, app: Flask, arguments: dict[str, Any]
) -> None:
    mail = peer.Mail(app)
    with app.app_context():
        message = peer.Message(**{"subject": "Hello", "recipients": [ADA], **arguments})
        assert message.has_bad_headers()
        with pytest.warns(DeprecationWarning, match="has_bad_headers"):
            assert message.is_bad_headers()
        with pytest.raises(peer.BadHeaderError):
            mail.send(message)
        with mail.connect() as connection, pytest.raises(peer.BadHeaderError):
            connection.send(message)


def test_valid_headers_are_accepted(peer: Any, app: Flask) -> None:
    peer.Mail(app)
    with app.app_context():
        message = peer.Message("a\r\n b", [ADA], reply_to=("x", "x@example.com"))
        assert not message.has_bad_headers()


def test_an_app_without_mail_is_an_error(peer: Any) -> None:
    with Flask("stranger").app_context(), pytest.raises(RuntimeError, match="config"):
        peer.Mail().connect()


def test_sending_outside_any_app_is_an_error(peer: Any) -> None:
    with pytest.raises(RuntimeError):
        peer.Mail().connect()


def test_a_message_needs_no_app(app: Flask) -> None:
    message = ours.Message("Hello", [ADA])
    mail = ours.Mail(app)
    receipt = mail.send(message)
    assert mail.get(receipt.id).return_path == message.sender == SENDER


def test_errors_are_also_flask_outboxs(app: Flask) -> None:
    mail = ours.Mail(app)
    with pytest.raises(AddressError, match="recipients"):
        mail.send(ours.Message("Hello"))
    with pytest.raises(HeaderError, match="line break"):
        mail.send(ours.Message("Hello\n", [ADA]))
    with pytest.raises(MessageError, match="recipients"):
        mail.send(Message("Hello"))


def test_a_name_with_a_comma_is_quoted(app: Flask) -> None:
    mail = ours.Mail(app)
    message = ours.Message("Hello", [ADA], sender=("Lovelace, Ada", ADA))
    assert message.sender == f'"Lovelace, Ada" <{ADA}>'
    assert mail.get(mail.send(message).id).return_path == ADA
