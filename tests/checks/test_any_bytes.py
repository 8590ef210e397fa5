"""No HTML, no header and no bytes make the checks raise, or take long."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_outbox import Message
from flask_outbox.checks import check
from flask_outbox.mime import compose
from flask_outbox.mime.parse import decoded, parse_message

pieces = st.sampled_from(
    [
        *(
            "<a href=",
            "'",
            '"',
            ">",
            "<",
            "</a>",
            "<!--",
            "-->",
            "<![CDATA[",
            "<![x",
            "]]>",
        ),
        *("<img src=cid:", "<img", "alt", "=", "<style>", "</style>", "<script", "/>"),
        *("http://", "[", "]", ":", "@", "mailto:", "#", "//", "%", "%7B", "{{", "}}"),
        *(
            "{%",
            "%}",
            "{x}",
            " None",
            "&#",
            "&amp;",
            ";",
            "&#x110000;",
            "\x00",
            "\ud7ff",
        ),
        *(
            "<!DOCTYPE",
            "<?xml",
            "?>",
            "<title>",
            "</head>",
            "<body>",
            "é",
            "😀",
            " ",
            "\n",
        ),
        *("=?utf-8?q?", "?=", "=?x?b?AA", "Subject", "text/html", "; charset=", "hex"),
    ]
)
markup = st.one_of(st.lists(pieces, max_size=30).map("".join), st.text(max_size=200))


def check_all(content: bytes) -> None:
    check(parse_message(content), size_bytes=len(content), tag="newsletter")


@given(markup, markup)
def test_the_checks_raise_for_no_html_or_text(html: str, text: str) -> None:
    head = "Subject: x\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
    body = (
        f"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
        f"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html}\r\n--b--\r\n"
    )
    check_all((head + body).encode())


@given(st.dictionaries(st.sampled_from([
    "Subject", "From", "To", "Content-Type", "Content-Transfer-Encoding",
    "Content-Disposition", "Content-ID", "List-Unsubscribe", "Precedence",
]), st.one_of(markup, st.sampled_from([
    "text/html; charset=nonsense", "text/html; charset=hex", "base64", "x-uuencode",
    "message/rfc822", "multipart/mixed", "attachment; filename*=x''%ff",
    "quoted-printable",
]))), st.binary())  # fmt: skip
def test_the_checks_raise_for_no_header(headers: dict[str, str], body: bytes) -> None:
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")
    check_all(head + body)


@given(st.binary())
def test_the_checks_raise_for_no_bytes(content: bytes) -> None:
    check_all(content)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_a_subject_is_read_unchanged(subject: str) -> None:
    composed = compose(
        Message(subject, recipients=["a@x.example"], sender="b@x.example", body="x")
    )
    read = parse_message(composed.content).header("subject")
    assert read is not None
    assert read.split() == subject.split()


def test_an_unreadable_header_is_shown_unchanged() -> None:
    assert decoded("=?nonsense?q?x?=") == "=?nonsense?q?x?="


@pytest.mark.parametrize(
    "piece",
    [
        *("a", "a@", "http://a", "<a href=x>", "{{", "{a", "%(a", "a.", "None ", "&#"),
        *("<p", "<p ", "<!--", "<?", "<a/", "<a b=", '<a href="', "<!-- >", "<p >"),
    ],
)
def test_a_long_body_is_checked_in_time(piece: str) -> None:
    long = piece * (300_000 // len(piece))
    content = (
        f"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{long}\r\n--b\r\n"
        f"Content-Type: text/html\r\n\r\n<a href='{long}'>{long}\r\n--b--\r\n"
    ).encode()
    began = process_time()
    check_all(content)
    assert process_time() - began < 10
