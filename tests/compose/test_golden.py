"""A few whole messages, as a person would read them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from textwrap import dedent
from typing import Any

from flask_outbox.delivery import Envelope
from flask_outbox.message import Message
from flask_outbox.mime import Composed, compose

from .wire import read_strictly


def composed(message: Any, **arguments: Any) -> Composed:
    arguments = {"now": 1_767_225_600.0, "unique": "0197-u", **arguments}
    return compose(message, **arguments)


def text_of(one: Composed) -> str:
    read_strictly(one.content, utf8_headers=one.envelope.utf8_headers)
    return one.content.decode().replace("\r\n", "\n")


def test_plain_text_is_written_as_in_this_file() -> None:
    message = Message(
        "Welcome",
        recipients=["ada@example.org"],
        body="Hello Ada",
        sender="me@x.example",
    )
    one = composed(message)
    assert text_of(one) == dedent("""\
        From: me@x.example
        To: ada@example.org
        Subject: Welcome
        Date: Thu, 01 Jan 2026 00:00:00 +0000
        Message-ID: <0197-u@x.example>
        MIME-Version: 1.0
        Content-Type: text/plain; charset=utf-8
        Content-Transfer-Encoding: 7bit

        Hello Ada
        """)
    assert one.envelope == Envelope("me@x.example", ("ada@example.org",))
    assert (one.rfc_message_id, one.subject) == ("<0197-u@x.example>", "Welcome")


def test_a_message_with_everything_is_written_as_in_this_file() -> None:
    message = Message(
        "Grüße aus Köln",
        recipients=[("Löwe, Jürgen", "j@bücher.example"), "Ada <ada@example.org>"],
        body="Schöne Grüße\n.\nFrom here",
        html='<p>Schöne Grüße <img src="cid:logo"></p>',
        sender=("The Team", "team@example.com"),
        cc=["John Q. Public <john@example.net>"],
        bcc=["secret@example.net", "ada@EXAMPLE.org"],
        reply_to="help@example.com",
        date=datetime(2026, 1, 1, 5, 30, tzinfo=timezone(timedelta(hours=5.5))),
        extra_headers={
            "List-Unsubscribe": "<https://example.com/u/1>",
            "X-Campaign": "Frühling",
        },
    )
    message.attach("logo.png", data=b"\x89PNG", content_id="logo")
    message.attach("Preise für Ada.csv", data="1,2\n")
    one = composed(message)
    assert text_of(one) == dedent("""\
        From: The Team <team@example.com>
        To: =?utf-8?q?L=C3=B6we=2C_J=C3=BCrgen?= <j@xn--bcher-kva.example>,
         Ada <ada@example.org>
        Cc: "John Q. Public" <john@example.net>
        Reply-To: help@example.com
        Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe_aus_K=C3=B6ln?=
        Date: Thu, 01 Jan 2026 05:30:00 +0530
        Message-ID: <0197-u@example.com>
        List-Unsubscribe: <https://example.com/u/1>
        X-Campaign: =?utf-8?q?Fr=C3=BChling?=
        MIME-Version: 1.0
        Content-Type: multipart/mixed;
         boundary="=_mTOKEN"

        --=_mTOKEN
        Content-Type: multipart/alternative;
         boundary="=_aTOKEN"

        --=_aTOKEN
        Content-Type: text/plain; charset=utf-8
        Content-Transfer-Encoding: base64

        U2Now7ZuZSBHcsO8w59lDQouDQpGcm9tIGhlcmU=
        --=_aTOKEN
        Content-Type: multipart/related;
         type="text/html";
         boundary="=_rTOKEN"

        --=_rTOKEN
        Content-Type: text/html; charset=utf-8
        Content-Transfer-Encoding: quoted-printable

        <p>Sch=C3=B6ne Gr=C3=BC=C3=9Fe <img src=3D"cid:logo"></p>
        --=_rTOKEN
        Content-Type: image/png
        Content-Transfer-Encoding: base64
        Content-Disposition: inline; filename="logo.png"
        Content-ID: <logo>

        iVBORw==
        --=_rTOKEN--

        --=_aTOKEN--

        --=_mTOKEN
        Content-Type: text/csv; charset="utf-8"
        Content-Transfer-Encoding: base64
        Content-Disposition: attachment; filename*=utf-8''Preise%20f%C3%BCr%20Ada.csv

        MSwyCg==
        --=_mTOKEN--
        """).replace("TOKEN", token_of(one))
    assert one.envelope.recipients == (
        "j@xn--bcher-kva.example",
        "ada@example.org",
        "john@example.net",
        "secret@example.net",
    )


def token_of(one: Composed) -> str:
    return one.content.decode().partition('boundary="=_m')[2].partition('"')[0]
