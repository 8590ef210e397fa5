"""`compose`: the envelope, the headers, the tree of parts, and what is refused."""

from __future__ import annotations

from binascii import a2b_base64
from datetime import UTC, date, datetime, timedelta, timezone
from email import message_from_bytes
from email.policy import default
from typing import Any, cast

import pytest

from flask_outbox.errors import (
    AddressError,
    AttachmentError,
    HeaderError,
    MessageError,
)
from flask_outbox.message import Attachment, Message
from flask_outbox.mime import Composed, compose

from .wire import Entity, read_strictly


def composed(message: Any = None, /, **arguments: Any) -> Composed:
    message = message or Message(
        **{"sender": "me@x.example", "recipients": ["a@x"]} | arguments
    )
    return compose(message, now=0, unique="u1")


def on_the_wire(**arguments: Any) -> Entity:
    one = composed(**arguments)
    return read_strictly(one.content, utf8_headers=one.envelope.utf8_headers)


def tree(entity: Entity) -> Any:
    """The types of a message's parts, nested as they are."""
    kind = entity["content-type"].partition(";")[0]
    return (kind, *map(tree, entity.parts)) if entity.parts else kind


class Lazy:
    """What Flask-Babel's ``lazy_gettext`` gives: a string only when it is asked."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __getattr__(self, name: str) -> Any:
        return getattr(str(self), name)


# -- the envelope --------------------------------------------------------------------


def test_each_recipient_is_in_the_envelope_once_in_order() -> None:
    envelope = composed(
        recipients=["b@x", ("A", "a@x")], cc=["a@X", "A@x"], bcc=["b@x", "c@x"]
    ).envelope
    assert envelope.return_path == "me@x.example"
    assert envelope.recipients == ("b@x", "a@x", "c@x")


def test_bcc_alone_is_enough_and_not_in_the_content() -> None:
    one = composed(recipients=[], bcc=["secret@example.org"])
    assert one.envelope.recipients == ("secret@example.org",)
    assert b"secret" not in one.content
    assert read_strictly(one.content)["to"] == "undisclosed-recipients:;"


@pytest.mark.parametrize(
    ("argument", "utf8"),
    [
        ({"recipients": ["jörg@x"]}, True),
        ({"cc": ["jörg@x"]}, True),
        ({"sender": "jörg@x"}, True),
        ({"reply_to": "jörg@x"}, True),
        ({"extra_headers": {"Sender": "Jörg <jörg@x>"}}, True),
        ({"bcc": ["jörg@x"]}, False),
        ({"recipients": [("Jörg", "j@bücher.example")]}, False),
    ],
)
def test_only_non_ascii_addresses_in_headers_require_utf8_headers(
    argument: Any, utf8: bool
) -> None:
    one = composed(**argument)
    assert one.envelope.utf8_headers is utf8
    assert one.content.isascii() is not utf8
    read_strictly(one.content, utf8_headers=utf8)


def test_a_non_ascii_local_part_is_written_unencoded() -> None:
    entity = on_the_wire(recipients=[("Jörg", "jörg@bücher.example")])
    assert entity["to"] == "=?utf-8?q?J=C3=B6rg?= <jörg@xn--bcher-kva.example>"


def test_a_message_without_recipients_is_refused() -> None:
    with pytest.raises(AddressError, match=r"^recipients: the message has none"):
        composed(recipients=[])


def test_a_string_set_later_instead_of_a_list_is_refused() -> None:
    message = Message(sender="me@x")
    message.recipients = cast(Any, "ada@example.org")
    with pytest.raises(AddressError, match=r"^recipients: 'ada@example.org' is not"):
        composed(message)


def test_the_sender_may_come_from_the_configuration() -> None:
    message = Message(recipients=["a@x"])
    one = compose(message, default_sender=("Me", "me@y.example"), unique="u")
    assert one.envelope.return_path == "me@y.example"
    assert one.rfc_message_id == "<u@y.example>"
    assert read_strictly(one.content)["from"] == "Me <me@y.example>"
    assert message.sender is None
    with pytest.raises(AddressError, match=r"^sender: .*set MAIL_DEFAULT_SENDER"):
        compose(message)
    with pytest.raises(AddressError, match=r"^MAIL_DEFAULT_SENDER: 'me'"):
        compose(message, default_sender="me")


def test_return_path_sets_where_bounces_go() -> None:
    message = Message(sender="me@x.example", recipients=["a@x"])
    one = compose(message, return_path="Bounces <bounces+17@Y.example>")
    assert one.envelope.return_path == "bounces+17@y.example"
    assert read_strictly(one.content)["from"] == "me@x.example"
    with pytest.raises(AddressError, match=r"^return_path: 'bounces' has no '@'"):
        compose(message, return_path="bounces")


def test_esmtp_options_are_in_the_envelope() -> None:
    envelope = composed(
        mail_options=["BODY=8BITMIME"], rcpt_options=["NOTIFY=SUCCESS,DELAY", "X-1"]
    ).envelope
    assert envelope.mail_options == ("BODY=8BITMIME",)
    assert envelope.rcpt_options == ("NOTIFY=SUCCESS,DELAY", "X-1")


@pytest.mark.parametrize(
    "option", ["", "A B", "A=", "A=b=c", "=b", "-A", "A\r\nRSET", 7]
)
def test_invalid_esmtp_options_are_refused(option: Any) -> None:
    with pytest.raises(MessageError, match=r"^rcpt_options\[1\]: .* ESMTP"):
        composed(rcpt_options=["NOTIFY=NEVER", option])


def test_esmtp_options_must_be_a_list() -> None:
    message = Message(sender="me@x", recipients=["a@x"])
    message.mail_options = cast(Any, "SMTPUTF8")
    with pytest.raises(MessageError, match=r"^mail_options: 'SMTPUTF8' is not a list"):
        composed(message)


# -- the heading ---------------------------------------------------------------------


def test_the_same_message_gives_the_same_bytes() -> None:
    message = Message("Hi", sender="me@x", recipients=["a@x"], body="t", html="h")
    assert composed(message) == composed(message)
    assert compose(message).rfc_message_id != compose(message).rfc_message_id


def test_a_message_id_in_extra_headers_is_used() -> None:
    one = composed(extra_headers={"message-id": " <mine@example.org> "})
    assert one.rfc_message_id == "<mine@example.org>"
    assert read_strictly(one.content)["message-id"] == "<mine@example.org>"


def test_rfc_message_id_is_used() -> None:
    one = composed(rfc_message_id="<mine@example.org>")
    assert one.rfc_message_id == "<mine@example.org>"
    assert read_strictly(one.content)["message-id"] == "<mine@example.org>"
    with pytest.raises(
        HeaderError, match=r"^rfc_message_id: 'mine' is not a Message-ID"
    ):
        composed(rfc_message_id="mine")


def test_a_message_id_in_extra_headers_takes_precedence() -> None:
    given = {"Message-ID": "<header@example.org>"}
    one = composed(rfc_message_id="<argument@example.org>", extra_headers=given)
    assert one.rfc_message_id == "<header@example.org>"


@pytest.mark.parametrize(
    "value", ["", "a@b", "<a>", "<a@b> <c@d>", "<a b@c>", f"<{'x' * 999}@y>", 7]
)
def test_an_invalid_message_id_is_refused(value: Any) -> None:
    with pytest.raises(HeaderError, match=r"^extra_headers\['Message-ID'\]: "):
        composed(extra_headers={"Message-ID": value})


def test_the_message_id_may_have_the_senders_domain_literal() -> None:
    assert composed(sender="me@[127.0.0.1]").rfc_message_id == "<u1@[127.0.0.1]>"


@pytest.mark.parametrize(
    ("date", "written"),
    [
        (0, "Thu, 01 Jan 1970 00:00:00 +0000"),
        (-0.5, "Wed, 31 Dec 1969 23:59:59 +0000"),
        (1_767_225_600.9, "Thu, 01 Jan 2026 00:00:00 +0000"),
        (datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC), "Tue, 03 Feb 2026 04:05:06 +0000"),
        (
            datetime(2026, 2, 3, tzinfo=timezone(-timedelta(hours=3.5))),
            "Tue, 03 Feb 2026 00:00:00 -0330",
        ),
        (
            datetime(1900, 7, 1, tzinfo=timezone(timedelta(seconds=3601))),
            "Sat, 30 Jun 1900 22:59:59 +0000",
        ),
    ],
)
def test_a_date_is_written_as_rfc_5322_requires(date: Any, written: str) -> None:
    assert on_the_wire(date=date)["date"] == written


@pytest.mark.parametrize(
    "date",
    [
        datetime(2026, 1, 1),  # noqa: DTZ001
        datetime(1899, 1, 1, tzinfo=UTC),
        float("nan"),
        float("inf"),
        1e18,
        -1e11,
        "yesterday",
    ],
)
def test_an_invalid_date_is_refused(date: Any) -> None:
    with pytest.raises(MessageError, match=r"^date: "):
        composed(date=date)


def test_the_default_date_is_now() -> None:
    content = compose(Message(sender="a@x", recipients=["a@x"])).content
    date = message_from_bytes(content, policy=default)["Date"].datetime
    assert abs(datetime.now(UTC) - date) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("From", "pass sender="),
        ("to", "pass recipients="),
        ("CC", "pass cc="),
        ("Bcc", "pass bcc="),
        ("Subject", "pass subject="),
        ("Date", "pass date="),
        ("MIME-Version", "leave it out"),
        ("Content-Type", "leave it out"),
        ("content-transfer-encoding", "leave it out"),
        ("Return-Path", "pass return_path= to send()"),
    ],
)
def test_headers_that_flask_outbox_writes_are_refused(name: str, advice: str) -> None:
    with pytest.raises(HeaderError) as caught:
        composed(extra_headers={name: "x@x"})
    assert caught.value.field == f"extra_headers['{name}']"
    assert advice in caught.value.problem


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        ("plain; charset=latin-1", 'text/plain; charset="iso-8859-1"'),
        ("text/plain; CHARSET=iso-8859-1", 'text/plain; CHARSET="iso-8859-1"'),
        (
            "calendar; charset=UTF-8; method=REQUEST",
            'text/calendar; charset="utf-8"; method="REQUEST"',
        ),
    ],
)
def test_an_alternative_may_name_its_charset(kind: str, content_type: str) -> None:
    content = composed(alts={kind: "Größe"}).content
    assert read_strictly(content)["Content-Type"] == content_type
    message = message_from_bytes(content, policy=default)
    assert message.get_content() == "Größe"


@pytest.mark.parametrize(
    ("kind", "text", "problem"),
    [
        ("plain; charset=latin-1", "日本", "is not in iso-8859-1"),
        ("plain; charset=nonsense", "t", "not a known character set"),
        ("plain; charset=utf-8; Charset=latin-1", "t", "twice"),
    ],
)
def test_an_alternative_with_an_unsuitable_charset_is_refused(
    kind: str, text: str, problem: str
) -> None:
    with pytest.raises(MessageError, match=problem) as caught:
        composed(alts={kind: text})
    assert caught.value.field == f"alts[{kind!r}]"


@pytest.mark.parametrize(
    "name", ["Content-Language", "Content-Description", "content-location"]
)
def test_other_content_headers_are_allowed(name: str) -> None:
    assert on_the_wire(extra_headers={name: "de"})[name] == "de"


@pytest.mark.parametrize(
    ("reply_to", "written"),
    [
        ("a@x", "a@x"),
        (("Ada", "a@x"), "Ada <a@x>"),
        (["a@x", ("Ada, L", "b@x")], 'a@x, "Ada, L" <b@x>'),
        ([], None),
    ],
)
def test_reply_to_may_be_one_address_or_several(
    reply_to: Any, written: str | None
) -> None:
    headers = dict(on_the_wire(reply_to=reply_to).headers)
    assert headers.get("Reply-To") == written


def test_every_address_of_reply_to_is_checked() -> None:
    with pytest.raises(AddressError, match=r"^reply_to\[1\]: 'b' has no '@'"):
        composed(reply_to=["a@x", "b"])


def test_reply_to_may_be_given_as_a_header() -> None:
    headers = {"Reply-To": "Löwe <a@x>, b@x"}
    entity = on_the_wire(extra_headers=headers)
    assert entity["reply-to"] == "=?utf-8?q?L=C3=B6we?= <a@x>, b@x"
    with pytest.raises(HeaderError, match="given twice"):
        composed(reply_to="a@x", extra_headers=headers)


def test_other_address_headers_keep_each_address() -> None:
    names = "=?utf-8?q?L=C3=B6we=2C_evil=40x=2C?="
    for name in ("Mail-Followup-To", "Resent-To", "Return-Receipt-To"):
        entity = on_the_wire(extra_headers={name: f"{names} <a@x>, b@x"})
        assert entity[name] == ("=?utf-8?q?L=C3=B6we=2C_evil=40x=2C?= <a@x>, b@x"), name
    with pytest.raises(AddressError, match="takes one address"):
        composed(extra_headers={"Errors-To": "a@x, b@x"})


@pytest.mark.parametrize(
    "name", ["Message-ID", "Sender", "References", "In-Reply-To", "List-Unsubscribe"]
)
def test_a_header_allowed_once_is_refused_twice(name: str) -> None:
    value = "<a@b>"
    with pytest.raises(HeaderError, match="is allowed only once"):
        composed(extra_headers={name: value, name.lower(): value})


def test_machine_readable_headers_are_not_encoded() -> None:
    references = " ".join(f"<{number}@example.org>" for number in range(50))
    headers = {
        "References": references,
        "List-Id": "=?utf-8?q?Gr=C3=BC=C3=9Fe?= <list.example.org>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "Auto-Submitted": "auto-generated",
        "X-SES-CONFIGURATION-SET": "bulk",
        "X-Json": '{"a":  "b", "c": "' + "x" * 500 + '"}',
        "X-Empty": "",
    }
    one = composed(extra_headers=headers)
    entity = read_strictly(one.content)
    for name, value in headers.items():
        assert entity[name] == value
    assert b"\r\n <10@" in one.content or b"\r\n <" in one.content


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("References", "<ü@x>", "is not ASCII"),
        ("List-Id", "Grüße <l.x>", "is not ASCII"),
        ("X-Token", "x" * 998, "no space"),
        ("X-Number", 7, "pass a string"),
        ("X-Bytes", b"x", "pass a string"),
        ("X-None", None, "pass a string"),
        ("Sender", "nobody", "has no '@'"),
        ("X Foo", "x", "not a header name"),
        ("X-Foo:", "x", "not a header name"),
        ("X-Föö", "x", "not a header name"),
        ("", "x", "not a header name"),
        (7, "x", "not a header name"),
        ("X" * 77, "x", "more than 76"),
    ],
)
def test_invalid_headers_are_refused(name: Any, value: Any, advice: str) -> None:
    with pytest.raises(MessageError) as caught:
        composed(extra_headers={name: value})
    assert caught.value.field.startswith("extra_headers[")
    assert advice in caught.value.problem


def test_a_subject_may_be_missing_lazy_or_have_tabs() -> None:
    assert "subject" not in on_the_wire(subject="")
    assert "subject" not in on_the_wire(subject=None)
    assert on_the_wire(subject=Lazy("Hello"))["subject"] == "Hello"
    assert on_the_wire(subject="a\tb")["subject"] == "a b"
    assert composed(subject=Lazy("Größe")).subject == "Größe"


def test_a_long_subject_is_folded_at_its_spaces() -> None:
    content = composed(subject="many words " * 20 + "and more").content
    assert b"Subject: many words many words" in content
    assert b"=?" not in content
    assert max(map(len, content.split(b"\r\n"))) <= 78
    read = message_from_bytes(content, policy=default)
    assert read["Subject"] == "many words " * 20 + "and more"


# -- the tree of parts ---------------------------------------------------------------

LOGO = Attachment("logo.png", data=b"1", content_id="logo")
FLASK_MAIL_LOGO = Attachment(
    "logo.png", "image/png", b"1", "inline", {"Content-ID": "<logo>"}
)
FILE = Attachment("a.pdf", data=b"1")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "text/plain"),
        ({"body": "t"}, "text/plain"),
        ({"html": "h"}, "text/html"),
        ({"html": "h", "body": ""}, "text/html"),
        (
            {"body": "t", "html": "h"},
            ("multipart/alternative", "text/plain", "text/html"),
        ),
        (
            {"body": "t", "alts": {"x-amp-html": "a", "html": "h"}},
            ("multipart/alternative", "text/plain", "text/x-amp-html", "text/html"),
        ),
        (
            {"html": "h", "attachments": [LOGO]},
            ("multipart/related", "text/html", "image/png"),
        ),
        (
            {"body": "t", "html": "h", "attachments": [FLASK_MAIL_LOGO]},
            (
                "multipart/alternative",
                "text/plain",
                ("multipart/related", "text/html", "image/png"),
            ),
        ),
        (
            {"body": "t", "attachments": [LOGO]},
            ("multipart/mixed", "text/plain", "image/png"),
        ),
        ({"attachments": [FILE]}, ("multipart/mixed", "text/plain", "application/pdf")),
        (
            {"body": "t", "html": "h", "attachments": [FILE, LOGO]},
            (
                "multipart/mixed",
                (
                    "multipart/alternative",
                    "text/plain",
                    ("multipart/related", "text/html", "image/png"),
                ),
                "application/pdf",
            ),
        ),
    ],
)
def test_a_multipart_has_more_than_one_part(arguments: Any, expected: Any) -> None:
    assert tree(on_the_wire(**arguments)) == expected


def test_an_inline_image_has_its_content_id() -> None:
    entity = on_the_wire(html="h", attachments=[LOGO])
    assert 'type="text/html"' in entity["content-type"]
    assert entity.parts[1]["content-id"] == "<logo>"
    assert entity.parts[1]["content-disposition"] == 'inline; filename="logo.png"'


def test_amp_is_between_the_text_and_the_html() -> None:
    message = Message("s", ["a@x"], "t", html="h", sender="s@x", alts={"x-other": "o"})
    message.invite("1@x", date(2027, 1, 12), date(2027, 1, 13))
    message.alternative("x-amp-html", "an old one")
    message.alternative("x-amp-html", "<html ⚡4email>")
    content = composed(message).content
    parts = message_from_bytes(content, policy=default).iter_parts()
    texts = {part.get_content_type(): part.get_content() for part in parts}
    assert list(texts) == [
        "text/plain",
        "text/x-other",
        "text/x-amp-html",
        "text/html",
        "text/calendar",
    ]
    assert texts["text/x-amp-html"] == "<html ⚡4email>"


def test_html_that_comes_later_follows_the_alternatives() -> None:
    message = Message("s", body="t")
    message.alternative("x-amp-html", "a")
    message.html = "h"
    assert list(message.alts) == ["x-amp-html", "html"]
    message.alternative("html", "other")
    assert message.alts == {"x-amp-html": "a", "html": "other"}


def test_an_alternative_may_have_parameters() -> None:
    entity = on_the_wire(
        body="t", alts={"calendar; method=REQUEST": "BEGIN", "text/x-other": "o"}
    )
    kinds = [part["content-type"] for part in entity.parts[1:]]
    assert kinds == [
        'text/calendar; method="REQUEST"; charset="utf-8"',
        "text/x-other; charset=utf-8",
    ]


@pytest.mark.parametrize("kind", ["application/json", "a b", "x/y/z", "html\n", 7])
def test_an_alternative_must_be_text(kind: Any) -> None:
    with pytest.raises(MessageError) as caught:
        composed(alts={kind: "t"})
    assert caught.value.field == f"alts[{kind!r}]"


@pytest.mark.parametrize("field", ["body", "html"])
@pytest.mark.parametrize("value", [b"bytes", 7, object()])
def test_a_body_must_be_a_string(field: str, value: Any) -> None:
    with pytest.raises(MessageError, match=f"^{field}: is .*; pass a string"):
        composed(**{field: value})


def test_a_body_may_be_lazy() -> None:
    assert on_the_wire(body=Lazy("Hello")).body == b"Hello\r\n"
    assert on_the_wire(html=Lazy("<p>")).body == b"<p>\r\n"


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("utf8", "utf-8"),
        ("latin-1", "iso-8859-1"),
        ("iso8859-15", "iso-8859-15"),
        ("cp1252", "windows-1252"),
        ("ascii", "us-ascii"),
        ("iso2022_jp", "iso-2022-jp"),
        ("koi8-r", "koi8-r"),
    ],
)
def test_charsets_are_written_with_their_mime_names(name: str, label: str) -> None:
    kind = on_the_wire(body="x", charset=name)["content-type"]
    assert kind == f"text/plain; charset={label}"


@pytest.mark.parametrize(
    "name", ["nonsense", "base64", "utf-8\r\nX: y", "utf 8", 7, "é"]
)
def test_an_unknown_charset_is_refused(name: Any) -> None:
    with pytest.raises(MessageError, match=r"^charset: .* omit it for utf-8"):
        composed(body="x", charset=name)


def test_text_that_its_charset_cannot_encode_is_refused() -> None:
    with pytest.raises(
        MessageError, match=r"^html: U\+20AC at position 3 is not in iso"
    ):
        composed(html="a\nb€", charset="latin-1")


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        ("Hello\n" * 5000, "7bit"),
        ("x" * 998, "7bit"),
        ("x" * 999, "quoted-printable"),
        ("Hello, schöne Grüße an alle im Haus", "quoted-printable"),
        ("Привет", "base64"),
        ("a\0b", "base64"),
    ],
)
def test_the_smallest_legal_encoding_is_chosen(body: str, encoding: str) -> None:
    assert on_the_wire(body=body)["content-transfer-encoding"] == encoding


def test_no_text_can_end_its_part() -> None:
    """A boundary that a body already holds, as if foreseen, gives way to another."""
    message = Message(sender="me@x", recipients=["a@x"], body="t", html="h")
    boundary = composed(message).content.partition(b'boundary="')[2].partition(b'"')[0]
    message.body = f"t\n--{boundary.decode()}\nContent-Type: text/evil\n\nx"
    entity = read_strictly(composed(message).content)
    assert tree(entity) == ("multipart/alternative", "text/plain", "text/html")
    assert b"text/evil" in entity.parts[0].body


# -- attachments ---------------------------------------------------------------------


def attached(*arguments: Any, **options: Any) -> Entity:
    attachment = Attachment(*arguments, **options)
    return on_the_wire(attachments=[attachment]).parts[1]


def test_attached_text_has_the_charset_of_its_type() -> None:
    part = attached("a.csv", "text/csv; charset=latin-1; header=present", "é")
    assert part["content-type"] == 'text/csv; charset="iso-8859-1"; header="present"'
    assert part.body == b"6Q=="


def test_parameters_may_be_quoted_and_stand_in_any_order() -> None:
    part = attached("a.csv", 'text/csv; title="a \\"b\\""; Charset="latin-1"', "é")
    assert part["content-type"] == (
        "text/csv; title*=utf-8''a%20%22b%22; Charset=\"iso-8859-1\""
    )
    assert part.body == b"6Q=="


@pytest.mark.parametrize("size", [0, 1, 57, 58, 58_367, 58_368, 58_369, 200_000])
def test_attached_bytes_of_any_size_are_base64(size: int) -> None:
    octets = bytes(range(256)) * (size // 256 + 1)
    body = attached("a", None, octets[:size]).body
    assert a2b_base64(body) == octets[:size]
    assert all(len(line) == 76 for line in body.split(b"\r\n")[:-1])


def test_attached_bytes_get_no_charset() -> None:
    assert attached("a.csv", None, b"\xe9")["content-type"] == "text/csv"
    assert attached("a.json", None, "{}")["content-type"] == "application/json"


def test_an_attachment_needs_no_name() -> None:
    assert attached(None, None, b"1")["content-disposition"] == "attachment"


def test_file_names_can_be_made_ascii() -> None:
    attachment = Attachment("  grüße   😀.txt", data="")
    message = Message(sender="a@x", recipients=["a@x"], attachments=[attachment])
    [_, part] = read_strictly(compose(message, ascii_attachments=True).content).parts
    assert part["content-disposition"] == 'attachment; filename="gru e .txt"' or part[
        "content-disposition"
    ].startswith('attachment; filename="gru')


def test_an_attachment_may_have_headers() -> None:
    part = attached("a", None, b"", None, {"Content-Description": "Größe", "X-A": "b"})
    assert part["content-description"] == "=?utf-8?b?R3LDtsOfZQ==?="
    assert part["x-a"] == "b"


def test_a_message_is_attached_as_a_message() -> None:
    part = attached("mail.eml", "message/rfc822", b"From: a@x\nSubject: s\n\nHello")
    assert part["content-type"] == "message/rfc822"
    assert part["content-transfer-encoding"] == "7bit"
    assert part.body == b"From: a@x\r\nSubject: s\r\n\r\nHello"


@pytest.mark.parametrize("octets", [b"\xe9", b"\0", b"x" * 999])
def test_a_message_that_is_not_7bit_is_attached_as_a_file(octets: bytes) -> None:
    part = attached("mail.eml", "message/rfc822", octets)
    assert part["content-type"] == "application/octet-stream"
    assert part["content-transfer-encoding"] == "base64"


@pytest.mark.parametrize(
    ("attachment", "field"),
    [
        (Attachment("a", "nonsense", b""), ".content_type"),
        (Attachment("a", "multipart/mixed", b""), ".content_type"),
        (Attachment("a", "text/plain; charset", ""), ".content_type"),
        (Attachment("a", "text/plain; charset=nonsense", ""), ".content_type"),
        (Attachment("a", "text/plain; charset=ascii", "é"), ".data"),
        (Attachment("a", None, "\ud800"), ".data"),
        (Attachment("a", None, b"", "in line"), ".disposition"),
        (Attachment("a", None, b"", content_id="my logo"), ".content_id"),
        (Attachment("a", None, b"", content_id="<>"), ".content_id"),
        (
            Attachment("a", None, b"", None, {"content-id": "<a"}),
            ".headers['content-id']",
        ),
        (
            Attachment("a", None, b"", None, {"Content-ID": "<a>"}, content_id="a"),
            ".content_id",
        ),
        (
            Attachment("a", None, b"", None, {"Content-Type": "x/y"}),
            ".headers['Content-Type']",
        ),
        (
            Attachment("a", None, b"", None, {"content-disposition": "inline"}),
            ".headers['content-disposition']",
        ),
        (Attachment("a", None, b"", None, cast(Any, {7: "x"})), ".headers[7]"),
        (Attachment(cast(Any, 7), None, b""), ".filename"),
        (Attachment("a", cast(Any, 7), b""), ".content_type"),
        (("a.txt", "text/plain", b""), ""),
    ],
)
def test_invalid_attachments_are_refused(attachment: Any, field: str) -> None:
    with pytest.raises(MessageError) as caught:
        composed(attachments=[FILE, attachment])
    assert caught.value.field == f"attachments[1]{field}"
    assert isinstance(caught.value, AttachmentError | HeaderError)


def test_an_attachment_without_content_is_refused() -> None:
    attachment = Attachment("a", None, b"")
    attachment.data = cast(Any, None)
    with pytest.raises(AttachmentError, match=r"^attachments\[0\]\.data: is None"):
        composed(attachments=[attachment])


# -- and what is no message ----------------------------------------------------------


@pytest.mark.parametrize("message", [None, "Hello", {"subject": "x"}])
def test_anything_but_a_message_is_refused(message: Any) -> None:
    with pytest.raises(MessageError, match=r"^message: is .* pass a Message"):
        compose(message)


def test_the_standard_library_reads_the_same_message() -> None:
    one = composed(body="t", html="h", attachments=[FILE, LOGO])
    message = message_from_bytes(one.content, policy=default)
    body, html = message.get_body(["plain"]), message.get_body(["html"])
    assert body
    assert html
    assert (body.get_content(), html.get_content()) == ("t", "h")
    assert [part.get_filename() for part in message.iter_attachments()] == ["a.pdf"]
