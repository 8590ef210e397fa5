"""No text of anyone's adds a header, a recipient, a part or a message.

Every public field meets every bad character: it is refused by name, or the text is
carried as content and nothing else changes.
"""

from __future__ import annotations

from collections.abc import Callable
from email.header import decode_header, make_header
from itertools import product
from typing import Any

import pytest

from flask_outbox.errors import MessageError
from flask_outbox.message import Attachment, Message
from flask_outbox.mime import compose

from .wire import read_strictly

BAD = [
    *("\r", "\n", "\r\n", "\n\n", "\0", "\x01", "\x08", "\x0b", "\x0c", "\x1b", "\x1c"),
    *("\x1d", "\x1e", "\x7f", "\x80", "\x85", "\x9f", "\ud800", "\udc80", "\udfff"),
]
PAYLOADS = [
    *(
        "a{}b",
        "{}a",
        "a{}",
        "a{}Bcc: evil@example.org",
        "a{}{}<script>",
        "a{} Bcc: e@x",
    ),
]


def headers_of(attachment_headers: dict[str, str]) -> list[Attachment]:
    return [Attachment("a", None, b"", None, attachment_headers)]


HEADER_FIELDS: dict[str, Callable[[str], dict[str, Any]]] = {
    "subject": lambda text: {"subject": text},
    "sender": lambda text: {"sender": (text, "a@x")},
    "sender ": lambda text: {"sender": f"{text}@x"},
    "sender  ": lambda text: {"sender": f"a@{text}"},
    "sender   ": lambda text: {"sender": f'"{text}" <a@x>'},
    "reply_to": lambda text: {"reply_to": (text, "a@x")},
    "recipients[1]": lambda text: {"recipients": ["a@x", (text, "b@x")]},
    "recipients[0]": lambda text: {"recipients": [f'"{text}"@x']},
    "cc[0]": lambda text: {"cc": [("", f"a@{text}")]},
    "bcc[0]": lambda text: {"bcc": [f"a@x{text}"]},
    "extra_headers['X-Foo']": lambda text: {"extra_headers": {"X-Foo": text}},
    "extra_headers['List-Id']": lambda text: {"extra_headers": {"List-Id": text}},
    "extra_headers['Sender']": lambda text: {
        "extra_headers": {"Sender": f'"{text}" <a@x>'}
    },
    "extra_headers['Message-ID']": lambda text: {
        "extra_headers": {"Message-ID": f"<{text}@x>"}
    },
    "attachments[0].filename": lambda text: {
        "attachments": [Attachment(text, "x/y", b"")]
    },
    "attachments[0].content_type": lambda text: {
        "attachments": [Attachment("a", f"text/plain; x={text}", b"")]
    },
    "attachments[0].disposition": lambda text: {
        "attachments": [Attachment("a", None, b"", text)]
    },
    "attachments[0].content_id": lambda text: {
        "attachments": [Attachment("a", None, b"", content_id=text)]
    },
    "attachments[0].headers['X-Foo']": lambda text: {
        "attachments": headers_of({"X-Foo": text})
    },
    "attachments[0].headers['Content-ID']": lambda text: {
        "attachments": headers_of({"Content-ID": text})
    },
    "mail_options[0]": lambda text: {"mail_options": [text]},
    "rcpt_options[0]": lambda text: {"rcpt_options": [f"NOTIFY={text}"]},
    "charset": lambda text: {"charset": text},
}


def composed(**arguments: Any) -> Any:
    defaults = {"sender": "me@x.example", "recipients": ["ada@example.org"]}
    return compose(Message(**defaults | arguments), unique="u", now=0)


def test_every_header_field_refuses_every_bad_character(
    subtests: pytest.Subtests,
) -> None:
    for field, arguments in HEADER_FIELDS.items():
        with subtests.test(field=field):
            for bad, payload in product(BAD, PAYLOADS):
                with pytest.raises(MessageError) as caught:
                    composed(**arguments(payload.format(bad, bad)))
                assert caught.value.field == field.strip()
                str(caught.value).encode()  # can be logged


def test_names_of_headers_and_alternatives_refuse_every_bad_character(
    subtests: pytest.Subtests,
) -> None:
    for bad in BAD:
        name = f"X-Foo{bad}Bcc"
        for arguments in (
            {"extra_headers": {name: "x"}},
            {"attachments": headers_of({name: "x"})},
            {"alts": {f"html{bad}Bcc": "x"}},
        ):
            with subtests.test(bad=ascii(bad), argument=next(iter(arguments))):
                with pytest.raises(MessageError) as caught:
                    composed(**arguments)
                assert "Foo" in caught.value.field or "html" in caught.value.field


def test_the_configured_sender_and_the_id_refuse_every_bad_character(
    subtests: pytest.Subtests,
) -> None:
    for bad in BAD:
        message = Message(recipients=["a@x"])
        with subtests.test(bad=ascii(bad)):
            with pytest.raises(MessageError, match=r"^MAIL_DEFAULT_SENDER: "):
                compose(message, default_sender=(f"Me{bad}", "me@x"))
            message.html, message.body = "h", "t"
            with pytest.raises(MessageError, match=r"^unique: "):
                compose(message, default_sender="me@x", unique=f"a{bad}b")


def test_the_error_names_the_character_and_its_position() -> None:
    with pytest.raises(MessageError) as caught:
        composed(subject="Hello\nBcc: evil@example.org")
    assert str(caught.value) == (
        "subject: 'Hello\\nBcc: evil@example.org' has U+000A at position 5;"
        " remove that character"
    )


@pytest.mark.parametrize("surrogate", [chr(0xD800), chr(0xDCFF)], ids=ascii)
@pytest.mark.parametrize("field", ["body", "html"])
def test_a_lone_surrogate_in_a_body_is_refused(field: str, surrogate: str) -> None:
    name = r"U\+D800" if surrogate == "\ud800" else "the byte 0xFF"
    with pytest.raises(MessageError, match=rf"^{field}: {name} at position 5 "):
        composed(**{field: f"Hello{surrogate}"})


@pytest.mark.parametrize(
    "text",
    [
        "=?utf-8?q?=0D=0ABcc:_evil@example.org?=",
        "=?utf-8?b?DQpCY2M6IGV2aWxAZXhhbXBsZS5vcmc=?=",
        "a =?utf-8?q?b?= c",
        "\u202eevil",
        "\u2028Bcc: evil@example.org",
        "\u2029",
        "a\u0300",
        'x"; filename="evil.exe',
        "x\\",
        '\\"',
        "<evil@example.org>, more@example.org",
    ],
)
def test_text_that_looks_like_syntax_is_only_text(text: str) -> None:
    one = composed(
        subject=text,
        recipients=[(text, "ada@example.org")],
        sender=(text, "me@x.example"),
        body=text,
        html=text,
        extra_headers={"X-Foo": text},
        attachments=[Attachment(text, "x/y", text.encode())],
    )
    plain = composed(
        subject="s",
        recipients=["ada@example.org"],
        body="b",
        html="h",
        extra_headers={"X-Foo": "x"},
        attachments=[Attachment("a", "x/y", b"a")],
    )
    assert one.envelope == plain.envelope
    assert shape(read_strictly(one.content)) == shape(read_strictly(plain.content))
    for _, value in read_strictly(one.content).headers:
        assert not {"\r", "\n"} & set(str(make_header(decode_header(value))))


def shape(entity: Any) -> Any:
    """The names of all headers, part by part."""
    return [name for name, _ in entity.headers], [shape(part) for part in entity.parts]


@pytest.mark.parametrize(
    "smuggled",
    [
        *("\n.\n", "\r.\r", "\r\n.\r\n", "\n.\r\n", "\r.\n", "\r\n.\n", "\r\n.\r"),
        *(".", ".\n", "..", "\n..\n", "\0\n.\n\0", "\x85.\x85", "\u2028.\u2028"),
    ],
    ids=ascii,
)
def test_smtp_commands_in_a_body_stay_content(smuggled: str) -> None:
    """Whatever ends a message for some server is a line of dots for ours, and the only
    line ends on the wire are CRLF: the transport stuffs the dots."""
    body = f"Hello{smuggled}MAIL FROM:<evil@example.org>{smuggled}"
    one = composed(body=body, attachments=[Attachment("a", "message/rfc822", body)])
    entity = read_strictly(one.content)
    assert one.envelope.recipients == ("ada@example.org",)
    assert len(entity.parts) == 2
    single = composed(body=body)
    read_strictly(single.content)


def test_a_lone_dot_stays_a_lone_dot() -> None:
    assert composed(body="a\n.\nb").content.endswith(b"\r\n\r\na\r\n.\r\nb\r\n")
