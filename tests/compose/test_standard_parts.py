"""Parts of the standard library's messages: kept unchanged, or refused."""

from __future__ import annotations

import email
from email import encoders
from email.header import Header
from email.message import EmailMessage
from email.message import Message as LegacyMessage
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import SMTP, compat32, default
from typing import Any, cast

import pytest

from flask_outbox.errors import MessageError
from flask_outbox.mime import compose

from .wire import Entity, read_strictly

REPORT = "Feedback-Type: abuse\nUser-Agent: x/1\nVersion: 1\n\n"
LONG_LINE = f"X-Long: {'word ' * 30}end"


def content_of(message: LegacyMessage) -> bytes:
    return compose(message, default_sender="me@x.example", now=0, unique="u").content


def on_the_wire(message: LegacyMessage) -> Entity:
    return read_strictly(content_of(message))


def holding(*parts: LegacyMessage, boundary: str = "my-boundary") -> MIMEMultipart:
    message = MIMEMultipart("mixed", boundary, list(parts))
    message["To"] = "a@x"
    return message


def signed(inner: bytes) -> bytes:
    return (
        b"To: a@x\r\nContent-Type: multipart/signed; boundary=s;\r\n"
        b" protocol=application/pgp-signature; micalg=pgp-sha256\r\n\r\n"
        b"--s\r\n" + inner + b"\r\n--s\r\n"
        b"Content-Type: application/pgp-signature\r\n\r\nsignature\r\n--s--\r\n"
    )


@pytest.mark.parametrize("policy", [default, compat32])
@pytest.mark.parametrize(
    "inner",
    [
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=B6=C3=9Fe \r\n",
        b"Content-Type: text/plain\r\n" + LONG_LINE.encode() + b"\r\n\r\nHello\r\n",
        b"content-type: TEXT/plain;\r\n\t charset = us-ascii\r\n\r\nHello\r\n",
        b'Content-Type: multipart/mixed; boundary="a b"\r\n\r\npreamble\r\n'
        b"--a b\r\n\r\nHello\r\n--a b--\r\nepilogue\r\n",
        b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n"
        + LONG_LINE.encode()
        + b"\r\n\r\nHello\r\n",
    ],
)
def test_signed_parts_stay_the_same_byte_for_byte(policy: Any, inner: bytes) -> None:
    message = email.message_from_bytes(signed(inner), policy=policy)
    assert b"--s\r\n" + inner + b"\r\n--s\r\n" in content_of(message)


@pytest.mark.parametrize("policy", [default, compat32])
def test_signed_parts_that_would_change_are_refused(policy: Any) -> None:
    inner = (
        "Content-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 8bit\r\n\r\nGröße\r\n"
    ).encode()
    message = email.message_from_bytes(signed(inner), policy=policy)
    with pytest.raises(MessageError, match=r"^message: .* not ASCII in what is signed"):
        content_of(message)
    around = MIMEMultipart("mixed", None, [message])
    around["To"] = "a@x"
    with pytest.raises(MessageError, match="what is signed"):
        content_of(around)


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("rfc822", "Subject: inner\nTo: b@x\n\nHello\n"),
        ("disposition-notification", "Final-Recipient: rfc822;b@x\n"),
        ("feedback-report", REPORT),
        ("delivery-status", "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822;b@x\n"),
        ("global", "Subject: inner\n\nHello\n"),
    ],
)
def test_messages_attached_as_text_are_accepted(
    kind: str, text: str, encoded: bool
) -> None:
    part = MIMEBase("message", kind)
    part.set_payload(text)
    if encoded:
        encoders.encode_base64(part)
    [_, entity] = on_the_wire(holding(MIMEText("See below"), part)).parts
    assert entity["Content-Type"] == f"message/{kind}"
    assert entity["Content-Transfer-Encoding"] == "7bit"
    assert entity.body == text.replace("\n", "\r\n").encode()


def test_an_attached_message_that_is_not_7bit_becomes_a_file() -> None:
    text = f"Subject: inner\n\n{'x' * 999}\nGröße\n"
    part = MIMEBase("message", "rfc822")
    part.set_payload(text.encode())
    encoders.encode_base64(part)
    content = content_of(holding(part))
    read_strictly(content)
    [file] = email.message_from_bytes(content, policy=default).iter_parts()
    assert file.get_content_type() == "application/octet-stream"
    assert file.get_content() == text.encode()


def test_a_long_boundary_with_spaces_is_not_folded() -> None:
    boundary = "a boundary with spaces that goes on until a line has no room for it"
    message = holding(MIMEText("a"), MIMEText("b"), boundary=boundary)
    assert len(on_the_wire(message).parts) == 2


@pytest.mark.parametrize("boundary", ["a b " * 17 + "c", "x" * 90])
def test_a_folded_or_split_boundary_is_refused(boundary: str) -> None:
    message = EmailMessage()
    message["To"] = "a@x"
    message.set_content("t")
    message.add_alternative("h", subtype="html")
    message.set_boundary(boundary)
    with pytest.raises(MessageError, match="a boundary that does not fit into a line"):
        content_of(message)


def test_headers_of_parts_are_folded() -> None:
    part = MIMEText("x")
    part["Content-Description"] = cast(Any, Header("Größe " * 30, "utf-8"))
    message = holding(part)
    assert max(map(len, content_of(message).split(b"\r\n"))) <= 98
    modern = EmailMessage(policy=SMTP)
    modern["To"] = "a@x"
    modern.set_content("t")
    modern.add_attachment(b"1", maintype="x", subtype="y", filename="ä" * 90 + ".txt")
    content = content_of(modern)
    assert max(map(len, content.split(b"\r\n"))) <= 78
    [file] = email.message_from_bytes(content, policy=default).iter_attachments()
    assert file.get_filename() == "ä" * 90 + ".txt"
