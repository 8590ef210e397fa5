"""The standard library's `EmailMessage` and `Message`, with the same guarantees."""

from __future__ import annotations

import email
from email.header import Header
from email.message import EmailMessage
from email.message import Message as LegacyMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import compat32, default
from typing import Any

import pytest

from flask_outbox.errors import AddressError, HeaderError, MessageError
from flask_outbox.mime import Composed, compose

from .wire import Entity, read_strictly


def modern(**headers: str) -> EmailMessage:
    message = EmailMessage()
    for name, value in (
        {"From": "me@x.example", "To": "ada@example.org"} | headers
    ).items():
        message[name.replace("_", "-")] = value
    return message


def legacy(*headers: tuple[str, Any]) -> LegacyMessage:
    message = MIMEText("Hello", "plain", "utf-8")
    for name, value in headers:
        message[name] = value
    return message


def composed(message: LegacyMessage) -> Composed:
    return compose(message, default_sender="default@x.example", now=0, unique="u1")


def on_the_wire(message: LegacyMessage) -> Entity:
    one = composed(message)
    return read_strictly(one.content, utf8_headers=one.envelope.utf8_headers)


def test_its_headers_and_parts_are_preserved() -> None:
    message = modern(
        From="Ada Löwe <ada@bücher.example>",
        To="Team: a@x, Bob <b@y>;, c@z",
        Cc="a@X",
        Bcc="secret@example.net",
        Subject="Grüße",
        Reply_To="r@x",
        List_Unsubscribe="<https://example.com/u>",
    )
    message.set_content("Schöne Grüße\n")
    message.add_alternative("<p>Grüße", subtype="html")
    message.add_attachment(b"1", maintype="image", subtype="png", filename="ä.png")
    one = composed(message)
    entity = read_strictly(one.content)
    assert one.envelope.return_path == "ada@xn--bcher-kva.example"
    assert one.envelope.recipients == ("a@x", "b@y", "c@z", "secret@example.net")
    assert one.subject == "Grüße"
    assert b"secret" not in one.content
    assert entity["to"] == "a@x, Bob <b@y>, c@z"
    assert entity["reply-to"] == "r@x"
    assert entity["list-unsubscribe"] == "<https://example.com/u>"
    assert entity["date"] == "Thu, 01 Jan 1970 00:00:00 +0000"
    assert entity["message-id"] == "<u1@xn--bcher-kva.example>"
    read = email.message_from_bytes(one.content, policy=default)
    body = read.get_body(["plain"])
    assert body
    assert body.get_content() == "Schöne Grüße\n"
    [part] = read.iter_attachments()
    assert (part.get_filename(), part.get_payload(decode=True)) == ("ä.png", b"1")


def test_the_message_is_not_changed() -> None:
    message = modern(Bcc="b@x", Subject="Hello")
    message.set_content("t")
    message.add_alternative("h", subtype="html")
    before = message.items()
    first = composed(message)
    assert message.items() == before
    assert message.get_boundary() is None
    assert composed(message) == first


def test_an_existing_boundary_is_kept() -> None:
    message = MIMEMultipart("signed", "my-boundary", [MIMEText("a"), MIMEText("b")])
    message["To"] = "a@x"
    assert on_the_wire(message)["content-type"].endswith('boundary="my-boundary"')


def test_a_boundary_never_occurs_in_the_content() -> None:
    message = modern()
    message.set_content("t")
    message.add_alternative("h", subtype="html")
    boundary = composed(message).content.partition(b'boundary="')[2].partition(b'"')[0]
    message = modern()
    message.set_content(f"--{boundary.decode()}\nContent-Type: text/evil\n\nx")
    message.add_alternative("h", subtype="html")
    assert len(on_the_wire(message).parts) == 2


def test_its_own_date_message_id_and_headers_are_kept() -> None:
    message = modern(
        Date="Thu, 01 Jan 2026 00:00:00 -0000",
        Message_ID="<mine@example.org>",
        Sender="Büro <office@example.org>",
        X_Thing="=?utf-8?q?not?= decoded",
    )
    one = composed(message)
    entity = read_strictly(one.content)
    assert entity["date"] == "Thu, 01 Jan 2026 00:00:00 +0000"
    assert one.rfc_message_id == entity["message-id"] == "<mine@example.org>"
    assert entity["sender"] == "=?utf-8?q?B=C3=BCro?= <office@example.org>"


def test_the_sender_may_come_from_the_configuration() -> None:
    message = modern()
    del message["From"]
    assert composed(message).envelope.return_path == "default@x.example"


def test_an_empty_to_has_no_recipients() -> None:
    message = modern(To="undisclosed-recipients:;", Cc="", Bcc="b@x")
    assert on_the_wire(message)["to"] == "undisclosed-recipients:;"
    message = modern(To="")
    with pytest.raises(AddressError, match=r"^recipients: "):
        composed(message)


def test_resent_headers_are_kept_but_add_no_recipients() -> None:
    message = modern(Resent_To="r@x", Resent_Bcc="secret@x", Resent_From="f@x")
    one = composed(message)
    assert one.envelope.recipients == ("ada@example.org",)
    assert read_strictly(one.content)["resent-to"] == "r@x"
    assert b"secret" not in one.content


def test_a_non_ascii_address_requires_smtputf8() -> None:
    one = composed(modern(To="jörg@bücher.example"))
    assert one.envelope.utf8_headers
    assert one.envelope.recipients == ("jörg@xn--bcher-kva.example",)
    read_strictly(one.content, utf8_headers=True)


def test_a_legacy_message_is_composed() -> None:
    message = legacy(
        ("To", Header("Ünal <u@x>", "utf-8")),
        ("Cc", "=?utf-8?q?L=C3=B6we=2C_A?= <a@x>,\n b@x"),
        ("Subject", Header("Grüße " * 30, "utf-8")),
    )
    one = composed(message)
    entity = read_strictly(one.content)
    assert one.subject == "Grüße " * 30
    assert one.envelope.recipients == ("u@x", "a@x", "b@x")
    assert entity["cc"] == "=?utf-8?q?L=C3=B6we=2C_A?= <a@x>, b@x"
    assert entity.body == b"SGVsbG8=\r\n"


@pytest.mark.parametrize("policy", [default, compat32])
def test_a_parsed_message_is_composed(policy: Any) -> None:
    source = (
        "From: a@x\nTo: b@x,\n c@x\nSubject: =?utf-8?q?=C3=A9?=\n\tlong\n"
        "Content-Type: text/plain; charset=utf-8\n"
        "Content-Transfer-Encoding: 8bit\n\né\n"
    )
    message = email.message_from_bytes(source.encode(), policy=policy)
    one = composed(message)
    assert one.envelope.recipients == ("b@x", "c@x")
    assert one.subject == "é long"
    assert read_strictly(one.content).body == b"w6kK\r\n"


def test_an_attached_message_is_kept() -> None:
    inner = modern(Subject="inner")
    inner.set_content("Hello")
    outer = modern(Subject="outer")
    outer.set_content("See below")
    outer.add_attachment(inner)
    entity = on_the_wire(outer)
    assert b"Subject: inner\r\n" in entity.parts[1].body


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ([("To", "a@x\nBcc: evil@x")], "To"),
        ([("To", "a@x\r\nBcc: evil@x")], "To"),
        ([("To", "a@x\n Bcc: evil@x")], "To"),
        ([("To", "a@x b@x")], "To"),
        ([("To", "a@x"), ("To", "b@x")], "To"),
        ([("To", "nobody")], "To[0]"),
        ([("Cc", "a@x, a@-x")], "Cc[1]"),
        ([("From", "a@x, b@x")], "From"),
        ([("From", "a@x"), ("From", "b@x")], "From"),
        ([("Subject", "a\nBcc: evil@x")], "Subject"),
        ([("Subject", "a"), ("Subject", "b")], "Subject"),
        ([("Subject", "=?utf-8?q?a=0ABcc:_evil@x?=")], "Subject"),
        ([("Subject", "a\x00")], "Subject"),
        ([("Subject", "\udcff")], "Subject"),
        ([("X-Foo", "a\rb")], "X-Foo"),
        ([("X-Foo", "=?utf-8?q?a=0Ab?=")], "X-Foo"),
        ([("X-Foo\nBcc", "a")], "X-Foo\nBcc"),
        ([("X Foo", "a")], "X Foo"),
        ([("Date", "soon")], "Date"),
        ([("Message-ID", "mine")], "Message-ID"),
        ([("Return-Path", "<a@x>")], "Return-Path"),
        ([("References", "ü")], "References"),
    ],
)
def test_invalid_headers_of_a_lax_policy_are_refused(headers: Any, field: str) -> None:
    message = legacy(*headers)
    if "To" not in message:
        message["To"] = "ada@example.org"
    with pytest.raises(MessageError) as caught:
        composed(message)
    assert caught.value.field == field
    assert isinstance(caught.value, AddressError | HeaderError)


def test_headers_of_parts_are_checked_too() -> None:
    part = MIMEText("x")
    part["X-Foo"] = "a\n\nInjected"
    message = MIMEMultipart("mixed", None, [MIMEText("y"), part])
    message["To"] = "a@x"
    with pytest.raises(HeaderError) as caught:
        composed(message)
    assert caught.value.field == "part 2, X-Foo"
    message.set_boundary("x\r\nBcc: evil@x")
    with pytest.raises(HeaderError):
        composed(message)


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        ("x" * 999, "a line of more than 998 octets"),
        ("a\0b", "a NUL"),
    ],
)
def test_invalid_parts_are_refused(payload: str, fault: str) -> None:
    message = LegacyMessage()
    message["To"] = "a@x"
    message.set_payload(payload)
    with pytest.raises(MessageError, match=f"^message: its parts have .*{fault}"):
        composed(message)


def test_parts_nested_too_deeply_are_refused() -> None:
    message = inner = MIMEMultipart()
    message["To"] = "a@x"
    for _ in range(1_000):
        deeper = MIMEMultipart()
        inner.attach(deeper)
        inner = deeper
    with pytest.raises(MessageError, match=r"^message: its parts are nested more"):
        composed(message)


@pytest.mark.parametrize("payload", [7, [7], "\ud800"], ids=ascii)
def test_a_message_that_the_standard_library_cannot_write_is_refused(
    payload: Any,
) -> None:
    message = legacy(("To", "a@x"))
    message.set_payload(payload)
    with pytest.raises(
        MessageError, match=r"^message: cannot be read as it is"
    ) as caught:
        composed(message)
    assert caught.value.__cause__
