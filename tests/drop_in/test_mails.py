"""The same code with either module: mails that say the same, to the same people."""

from __future__ import annotations

import re
from collections.abc import Callable
from email import message_from_bytes, message_from_string
from email.policy import compat32, default
from typing import Any

import pytest
from flask import Flask

from tests.drop_in.conftest import MakeApp
from tests.drop_in.essence import date_of, essence
from tests.drop_in.peers import flask_mail, ours
from tests.mail.site import ADA, BOB
from tests.servers import JournalSmtp, Mail

LOGO = bytes(range(256))


def plain(peer: Any) -> Any:
    return peer.Message("Hello", sender="from@example.com", recipients=[ADA])


def by_hand(peer: Any) -> Any:
    message = peer.Message("Hello")
    message.recipients = [("Ada", ADA)]
    message.add_recipient(BOB)
    message.body = "testing\n.\nFrom here\n"
    message.html = "<b>testing</b>"
    return message


def html_only(peer: Any) -> Any:
    return peer.Message("Hello", [ADA], html="<p>Grüße</p>")


def positional(peer: Any) -> Any:
    return peer.Message("Hello", [ADA], "text", "<p>html</p>", None, ("Me", "me@x.org"))


def everyone(peer: Any) -> Any:
    return peer.Message(
        "Hello",
        [ADA],
        "text",
        cc=["cc1@example.org", ("Číslo 2", "cc2@example.org")],
        bcc=["bcc@example.org", ADA],
        reply_to=("Answers", "answers@example.com"),
    )


def beyond_ascii(peer: Any) -> Any:
    return peer.Message(
        "Grüße aus Köln – " * 8,
        [("Åda", "ada@münchen.example")],
        "Zażółć gęślą jaźń\n" * 60,
        sender=("Ünal", "me@example.com"),
    )


def in_latin_1(peer: Any) -> Any:
    return peer.Message("Größe", [ADA], "Größe", charset="iso-8859-1")


def alternatives(peer: Any) -> Any:
    message = peer.Message("Hello", [ADA], "text", alts={"calendar": "BEGIN:VCALENDAR"})
    message.html = "<p>x</p>"
    return message


def headers(peer: Any) -> Any:
    return peer.Message(
        "Hello",
        [ADA],
        "text",
        date=1_700_000_000,
        extra_headers={"X-Tag": "a b", "List-Unsubscribe": "<mailto:x@example.com>"},
    )


def files(peer: Any) -> Any:
    message = peer.Message("Hello", [ADA], "text")
    message.attach("logo.png", "image/png", LOGO)
    message.attach("notes.txt", data="plain text")
    message.attach("Прайс лист.pdf", "application/pdf", b"%PDF")
    message.attachments.append(peer.Attachment("a.csv", data=b"a,b\n1,2\n"))
    return message


def an_inline_image(peer: Any) -> Any:
    return peer.Message(
        "Hello",
        [ADA],
        html='<img src="cid:logo">',
        attachments=[
            peer.Attachment(
                "logo.png", "image/png", LOGO, "inline", {"Content-ID": "<logo>"}
            )
        ],
    )


def a_folded_subject(peer: Any) -> Any:
    return peer.Message("testing\r\n testing \r\n \ttesting", [ADA], "text")


RECIPES = (
    plain, by_hand, html_only, positional, everyone, beyond_ascii, in_latin_1,
    alternatives, headers, files, an_inline_image, a_folded_subject,
)  # fmt: skip


@pytest.fixture
def both(make_app: MakeApp, server: JournalSmtp) -> Callable[..., tuple[Mail, Mail]]:
    """Sends what a recipe makes by either module, and gives the mails as they came."""

    def send(recipe: Callable[[Any], Any], **config: object) -> tuple[Mail, Mail]:
        for peer in (flask_mail, ours):
            app = make_app(**config)
            mail = peer.Mail(app)
            with app.app_context():
                mail.send(recipe(peer))
            server.wait_for(1 if peer is flask_mail else 2)
        theirs, mine = server.mails
        return theirs, mine

    return send


@pytest.mark.parametrize("recipe", RECIPES)
def test_both_packages_deliver_the_same_mail(
    both: Any, recipe: Callable[[Any], Any]
) -> None:
    theirs, mine = both(recipe)
    assert essence(mine.content) == essence(theirs.content)
    assert mine.return_path == theirs.return_path
    assert set(mine.recipients) == set(theirs.recipients)


def test_ascii_attachments_makes_file_names_ascii(both: Any) -> None:
    theirs, mine = both(files, MAIL_ASCII_ATTACHMENTS=True)
    assert essence(mine.content) == essence(theirs.content)
    assert "Прайс" not in str(essence(mine.content))


@pytest.mark.parametrize("name", ["ünicöde ←→ ✓.txt", f"{'Прайс' * 20}.pdf"])
def test_a_file_name_beyond_ascii_is_written_as_flask_mail_writes_it(
    peer: Any, app: Flask, name: str
) -> None:
    peer.Mail(app)
    with app.app_context():
        message = peer.Message("Hello", [ADA], "text")
        message.attach(name, "text/plain", b"x")
        written = message.as_string()
    assert re.search(
        r"Content-Disposition: attachment;\s+filename\*(0\*)?=\"?UTF8''", written
    )
    for policy in (compat32, default):
        _all, _text, file = message_from_string(written, policy=policy).walk()
        assert file.get_filename() == name


def test_a_messages_date_is_sent(both: Any) -> None:
    assert {date_of(one) for one in both(headers)} == {1_700_000_000}


def test_mail_and_rcpt_options_are_sent(both: Any) -> None:
    theirs, mine = both(
        lambda peer: peer.Message(
            "Grüße", [ADA], "text", mail_options=["BODY=8BITMIME"]
        )
    )
    assert "BODY=8BITMIME" in theirs.mail_options
    assert "BODY=8BITMIME" in mine.mail_options


@pytest.mark.parametrize("recipe", RECIPES)
def test_as_bytes_and_as_string_equal_flask_mails(
    make_app: MakeApp, recipe: Callable[[Any], Any]
) -> None:
    written = []
    for peer in (flask_mail, ours):
        app = make_app()
        peer.Mail(app)
        with app.app_context():
            message = recipe(peer)
            assert essence(message.as_string().encode()) == essence(message.as_bytes())
            assert essence(str(message).encode()) == essence(bytes(message))
            read = message_from_bytes(bytes(message), policy=default)
            assert read["Message-ID"] == message.msgId
            written.append(essence(bytes(message)))
    assert written[0] == written[1]


def test_as_bytes_is_what_arrives(make_app: MakeApp, server: JournalSmtp) -> None:
    app = make_app()
    mail = ours.Mail(app)
    with app.app_context():
        message = files(ours)
        mail.send(message)
        (arrived,) = server.wait_for(1)
        assert essence(arrived.content) == essence(message.as_bytes())
        assert arrived.rfc_message_id == message.msgId


def test_a_message_id_set_before_sending_is_kept(
    peer: Any, app: Any, server: JournalSmtp
) -> None:
    mail = peer.Mail(app)
    with app.app_context():
        message = plain(peer)
        message.msgId = "<thread-17@example.com>"
        mail.send(message)
    (arrived,) = server.wait_for(1)
    assert arrived.rfc_message_id == "<thread-17@example.com>"
