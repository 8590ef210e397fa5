"""A message taken apart: which part goes into which field, and what is refused."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest

from flask_outbox import Message, MessageError
from flask_outbox.delivery import Envelope
from flask_outbox.mime import compose
from flask_outbox.mime.headers import redirected
from flask_outbox.transports.http.addressed import addressed
from flask_outbox.transports.http.fields import Fields, Headers, written

ADA, BOB, EVE, ZOE = (f"{name}@example.org" for name in ("ada", "bob", "eve", "zoe"))


def composed(**changes: Any) -> bytes:
    message = Message(
        **{
            "subject": "Żołądź, and more",
            "sender": ("Shop, Inc.", "shop@example.com"),
            "recipients": [("Ada Ż", ADA)],
            "cc": [BOB],
            "body": "Hello Ada\n.dot\n",
            **changes,
        }
    )
    return compose(message).content


def fields(*recipients: str, **changes: Any) -> Fields:
    read = Fields.read(composed(**changes))
    return read.addressed(Envelope("shop@example.com", recipients))


def test_each_part_has_its_field() -> None:
    message = Message(
        "Żołądź",
        sender=("Shop, Inc.", "shop@example.com"),
        recipients=[("Ada Ż", ADA)],
        reply_to="help@example.com",
        body="Hello",
        html='<img src="cid:logo">',
        extra_headers={"X-Order": "Ż 7"},
    )
    message.attach("ż.pdf", "application/pdf", b"%PDF-")
    message.attach("logo.png", "image/png", b"PNG", "inline", {"Content-ID": "<logo>"})
    read = Fields.read(compose(message).content)
    assert read.sender == ("Shop, Inc.", "shop@example.com")
    assert read.to == (("Ada Ż", ADA),)
    assert read.reply_to == (("", "help@example.com"),)
    assert read.subject == "Żołądź"
    assert (read.text or "").strip() == "Hello"
    assert (read.html or "").strip() == '<img src="cid:logo">'
    found = {one.name: (one.content_type, one.content_id) for one in read.files}
    assert found == {
        "ż.pdf": ("application/pdf", None),
        "logo.png": ("image/png", "logo"),
    }
    assert [one.content for one in read.files if not one.content_id] == [b"%PDF-"]
    assert read.headers["X-Order"] == "Ż 7"
    assert not {"Date", "To", "Message-ID", "Content-Type"} & set(read.headers)


def test_parts_are_found_where_their_own_boundaries_are() -> None:
    content = (
        b"From: a@b.c\r\nTo: a@b.c\r\n"
        b'Content-Type: multipart/mixed; boundary="one"\r\n\r\n'
        b"For old readers.\r\n--one\r\n"
        b"\r\nNo headers\r\n\r\n--oneself\r\n--one \r\n"
        b"Content-Type: multipart/mixed; boundary=one-two\r\n\r\n"
        b"--one-two\r\nContent-Type: a/b; name=x.b\r\n\r\nX\r\n--one-two--\r\n"
        b"\r\n--one--\r\nThe end.\r\n--one\r\n\r\nNothing\r\n"
    )
    read = Fields.read(content)
    assert read.text == "No headers\r\n\r\n--oneself"
    assert [(one.name, one.content) for one in read.files] == [("x.b", b"X")]


def test_a_header_is_read_as_the_standard_library_reads_it(
    subtests: pytest.Subtests,
) -> None:
    for value in (
        "ada@example.org",
        "Ada <ada@example.org>",
        "Ada Love <ada+x@example.org>",
        '"Love, Ada" <ada@example.org>, bob@example.org',
        "=?utf-8?q?=C5=BB?= <ada@example.org>",
        "<ada@example.org>",
        '"a b"@example.org',
    ):
        with subtests.test(value=value):
            parsed = message_from_bytes(f"To: {value}".encode(), policy=policy.SMTPUTF8)
            read = Headers.read([f"To: {value}".encode()])
            assert read.mailboxes("to") == tuple(
                (one.display_name, one.addr_spec) for one in parsed["To"].addresses
            )


def test_the_envelope_decides_who_is_in_to_cc_and_bcc(
    subtests: pytest.Subtests,
) -> None:
    cases: dict[tuple[str, ...], tuple[list[str], list[str], list[str]]] = {
        (ADA, BOB): ([ADA], [BOB], []),
        (ADA, BOB, EVE): ([ADA], [BOB], [EVE]),
        (ADA, EVE, ZOE): ([ADA], [], [EVE, ZOE]),
        (BOB, EVE): ([BOB], [], [EVE]),
        (EVE,): ([EVE], [], []),
        ("ADA@example.org",): ([ADA], [], []),
    }
    for recipients, wanted in cases.items():
        with subtests.test(recipients=recipients):
            made = fields(*recipients)
            sent = (made.to, made.cc, made.bcc)
            assert tuple([one[1] for one in some] for some in sent) == wanted


def test_a_name_is_quoted() -> None:
    assert written(('A "B" \\', ADA)) == rf'"A \"B\" \\" <{ADA}>'
    assert written(("", ADA)) == ADA


def standard(**headers: str) -> EmailMessage:
    message = EmailMessage(policy=policy.SMTP)
    for name, value in {"From": "a@b.c", "To": ADA, **headers}.items():
        message[name] = value
    return message


def test_a_header_that_no_field_can_express_is_refused(
    subtests: pytest.Subtests,
) -> None:
    calendar = standard()
    calendar.set_content("Come")
    calendar.add_alternative("BEGIN:VCALENDAR", subtype="calendar")
    forwarded = standard()
    forwarded.set_content("See below")
    inner = standard()
    inner.set_content("Hi")
    forwarded.add_attachment(inner)
    signed = standard()
    signed.set_content("x")
    signed.replace_header("Content-Type", "application/pkcs7-mime")
    two = standard(Sender="a@b.c")
    two.replace_header("From", "a@b.c, d@e.f")
    two.set_content("x")
    cases = {
        "text/calendar as an alternative": calendar,
        "message/rfc822": forwarded,
        "pkcs7": signed,
        "one sender, not several": two,
    }
    for words, message in cases.items():
        with (
            subtests.test(words=words),
            pytest.raises(MessageError, match=words),
        ):
            Fields.read(message.as_bytes())


def test_a_header_that_is_repeated_keeps_all_its_values() -> None:
    content = redirected(composed(), [BOB, EVE])
    assert Fields.read(content).headers["X-Original-To"] == f"{BOB}, {EVE}"


def test_an_international_domain_is_found_in_its_header() -> None:
    message = Message(
        "Hi", ["ada@exämple.org"], sender="a@example.com", body="x", cc=[BOB]
    )
    made = compose(message)
    read = Fields.read(made.content).addressed(made.envelope)
    assert [one[1] for one in (*read.to, *read.cc)] == list(made.envelope.recipients)
    assert not read.bcc


# ------------------------------------------- the message as it is, with other headers


def signed(**changes: Any) -> bytes:
    return b"DKIM-Signature: v=1; d=example.com;\r\n b=abc\r\n" + composed(**changes)


def test_headers_that_name_the_envelope_stay_byte_for_byte() -> None:
    content = signed()
    assert addressed(content, [BOB, ADA.upper()]) == content


def test_headers_name_nobody_but_the_envelope() -> None:
    made = addressed(signed(cc=[("Bob", BOB), EVE]), [ADA, BOB, ZOE])
    read = message_from_bytes(made, policy=policy.SMTP)
    assert read["To"] == f"Ada Ż <{ADA}>"
    assert read["Cc"] == f"Bob <{BOB}>"
    assert read["Bcc"] == ZOE
    assert EVE.encode() not in made
    assert "DKIM-Signature" not in read
    assert read["Subject"] == "Żołądź, and more"
    assert made.partition(b"\r\n\r\n")[2] == composed().partition(b"\r\n\r\n")[2]


def test_a_signature_stays_beside_a_bcc() -> None:
    content = signed()
    made = addressed(content, [ADA, BOB, ZOE])
    assert made.replace(f"Bcc: {ZOE}\r\n".encode(), b"") == content


def test_a_bcc_header_of_the_message_itself_is_ignored() -> None:
    made = addressed(b"Bcc: eve@example.org\r\n" + composed(), [ADA])
    assert b"Bcc" not in made
    assert EVE.encode() not in made


def test_a_redirected_message_names_the_stand_in_alone() -> None:
    content = redirected(composed(), [ADA, BOB])
    read = message_from_bytes(addressed(content, [ZOE]), policy=policy.SMTP)
    assert (read["To"], read["Cc"], read["Bcc"]) == (None, None, ZOE)
    assert read.get_all("X-Original-To") == [ADA, BOB]
