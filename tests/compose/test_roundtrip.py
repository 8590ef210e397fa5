"""For any input: what the standard library reads back is what was put in.

The standard library's parser judges the content, our strict reader the form.
"""

from __future__ import annotations

from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import compat32, default
from email.utils import getaddresses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_outbox.message import Attachment, Message
from flask_outbox.mime import compose

from .wire import read_strictly

characters = st.characters(exclude_categories=["Cs"])
printable = st.characters(exclude_categories=["Cs", "Cc"])

lines = st.one_of(
    st.text(printable),
    st.text(printable, min_size=60, max_size=250),
    st.text('aé =?_."\\,;<>()@', max_size=200),
    st.lists(
        st.sampled_from(["word", "x" * 80, "é" * 50, "=?utf-8?q?x?=", "", "😀" * 20])
    ).map(" ".join),
)
bodies = st.one_of(
    st.text(characters),
    st.text("ab .\r\n\t\0é=", max_size=300),
    st.lists(
        st.sampled_from(["x" * 5000, "é" * 400, " ", ".", "\r", "\n", "\r\n"])
    ).map("".join),
    lines,
)


def read_back(message: Message) -> tuple[EmailMessage, bytes]:
    content = compose(message, default_sender="me@x.example").content
    read_strictly(content)
    return message_from_bytes(content, policy=default), content


def with_lf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def leaves(message: EmailMessage) -> list[Any]:
    return [part for part in message.walk() if not part.is_multipart()]


@given(lines)
def test_any_subject_arrives_unchanged(subject: str) -> None:
    message, content = read_back(Message(subject, recipients=["a@x"]))
    assert message.get("Subject", "") == subject
    assert max(map(len, content.split(b"\r\n"))) <= 78


@given(lines)
def test_any_extra_header_arrives_unchanged(value: str) -> None:
    headers = {"X-Thing": value, "X-Other": "1"}
    message, _ = read_back(Message(recipients=["a@x"], extra_headers=headers))
    assert message["X-Thing"] == value.strip(" ")
    assert message["X-Other"] == "1"


@given(lines)
def test_any_display_name_arrives_unchanged(name: str) -> None:
    """Encoded-words are joined by `decode_header`: Python 3.11's address parser leaves
    the white space between two of them in."""
    one = Message(
        recipients=[(name, "a@x"), "b@x", (name, "c@x")],
        sender=(name, "s@x"),
        reply_to=(name, "r@x"),
    )
    message, content = read_back(one)
    assert [each.addr_spec for each in message["To"].addresses] == ["a@x", "b@x", "c@x"]
    assert not message["To"].defects
    raw = message_from_bytes(content, policy=compat32)
    shown = name.strip(" ")
    for header, wanted in {
        "To": [(shown, "a@x"), ("", "b@x"), (shown, "c@x")],
        "From": [(shown, "s@x")],
        "Reply-To": [(shown, "r@x")],
    }.items():
        pairs = getaddresses(raw.get_all(header, []))
        assert [(str(make_header(decode_header(n))), a) for n, a in pairs] == wanted


@given(lines, st.binary(max_size=200))
def test_any_file_name_and_bytes_arrive_unchanged(name: str, octets: bytes) -> None:
    attachment = Attachment(name, "application/x-thing", octets)
    message, _ = read_back(Message(recipients=["a@x"], attachments=[attachment]))
    part = leaves(message)[1]
    assert part["Content-Disposition"].params.get("filename", "") == name
    assert part.get_content_type() == "application/x-thing"
    assert part.get_payload(decode=True) == octets


@given(bodies)
def test_any_attached_text_arrives_unchanged(text: str) -> None:
    attachment = Attachment("a.txt", data=text)
    message, _ = read_back(Message(recipients=["a@x"], attachments=[attachment]))
    part = leaves(message)[1]
    assert part.get_content_charset() == "utf-8"
    assert part.get_payload(decode=True) == text.encode()


@given(bodies)
def test_any_body_arrives_unchanged(text: str) -> None:
    message, _ = read_back(Message(recipients=["a@x"], body=text))
    assert message.get_content_type() == "text/plain"
    assert message.get_content_charset() == "utf-8"
    assert with_lf(message.get_content()) in {with_lf(text), with_lf(text) + "\n"}


@given(bodies.filter(bool), bodies, bodies)
def test_any_alternatives_arrive_unchanged(text: str, html: str, other: str) -> None:
    alts = {"html": html, "x-other": other}
    message, _ = read_back(Message(recipients=["a@x"], body=text, alts=alts))
    assert [part.get_content_type() for part in message.walk()] == [
        *("multipart/alternative", "text/plain", "text/html", "text/x-other")
    ]
    read = [with_lf(part.get_content()) for part in leaves(message)]
    assert read == [with_lf(text), with_lf(html), with_lf(other)]


@given(
    st.sampled_from(
        ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-7", "shift_jis", "iso2022_jp"]
    ),
    bodies,
)
def test_any_charset_arrives_unchanged(name: str, text: str) -> None:
    text = text.encode(name, "ignore").decode(name)
    message, _ = read_back(
        Message(recipients=["a@x"], body="x", html=text, charset=name)
    )
    assert with_lf(leaves(message)[1].get_content()) == with_lf(text)


@pytest.mark.parametrize("character", ["x", "é", "=", " ", ".", "\t", "😀"])
@pytest.mark.parametrize("end", ["", "\n", " \n", "\n\n"])
def test_lines_of_critical_lengths_arrive_unchanged(character: str, end: str) -> None:
    for size in (*range(54, 80), *range(110, 116), *range(994, 1002)):
        text = character * size + end
        message, _ = read_back(Message(recipients=["a@x"], body=text, html=text))
        read = [with_lf(part.get_content()) for part in leaves(message)]
        assert read == [text, text]
