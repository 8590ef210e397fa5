"""Headers of addresses written by others: exactly the mailboxes that are meant."""

from __future__ import annotations

import email
from collections.abc import Callable
from email.header import Header, decode_header, make_header
from email.headerregistry import Address as StandardAddress
from email.message import EmailMessage
from email.message import Message as LegacyMessage
from email.policy import compat32, default
from itertools import product
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flask_outbox.errors import AddressError, MessageError
from flask_outbox.message import Message
from flask_outbox.message.mailboxes import read_mailboxes
from flask_outbox.mime import Composed, compose

from .wire import read_strictly

ADDRESS_HEADERS = [
    *("From", "To", "Cc", "Bcc", "Reply-To", "Sender", "Resent-To", "Resent-From"),
    *("Mail-Followup-To", "Mail-Reply-To", "Disposition-Notification-To", "Errors-To"),
]

quickly = settings(deadline=None)


def set_one_by_one(headers: dict[str, str]) -> LegacyMessage:
    message = EmailMessage()
    for name, value in headers.items():
        message[name] = value
    return message


def set_in_a_legacy_message(headers: dict[str, str]) -> LegacyMessage:
    message = LegacyMessage()
    for name, value in headers.items():
        message[name] = value
    return message


def read_by(policy: Any) -> Callable[[dict[str, str]], LegacyMessage]:
    def reading(headers: dict[str, str]) -> LegacyMessage:
        lines = [f"{name}: {value}\n" for name, value in headers.items()]
        source = "".join([*lines, "\nHello\n"])
        message: LegacyMessage = email.message_from_bytes(
            source.encode(), policy=policy
        )
        return message

    return reading


WAYS = {
    "set": set_one_by_one,
    "set in a legacy message": set_in_a_legacy_message,
    "read": read_by(default),
    "read as legacy": read_by(compat32),
}


def composed(message: LegacyMessage) -> Composed:
    one = compose(message, default_sender="default@x.example", now=0, unique="u1")
    read_strictly(one.content, utf8_headers=one.envelope.utf8_headers)
    return one


def with_header(way: str, name: str, value: str) -> LegacyMessage:
    usual = {"From": "me@x.example", "To": "ada@example.org"}
    return WAYS[way](usual | {name: value})


@pytest.mark.parametrize(
    "value",
    [
        "=?utf-8?q?evil=40attacker.example=2c?=ada@corp.example",
        "=?utf-8?q?evil=40attacker.example=2c?= ada@corp.example",
        "<=?utf-8?q?evil=40attacker.example=2c?=ada@corp.example>",
        "Ada <=?utf-8?q?evil=40attacker.example=3E=2c_=3Cada?=@corp.example>",
        "ada@=?utf-8?q?corp.example=2cevil=40attacker.example?=",
        "ada@=?utf-8?q?corp.example?=",
        "=?utf-8?b?ZXZpbEBhdHRhY2tlci5leGFtcGxlLA==?=ada@corp.example",
        "=?utf-8?q?evil=40attacker.example?=",
        "=?utf-8?q?evil=40attacker.example?=, ada@corp.example",
        "Team: =?utf-8?q?evil=40attacker.example=2c?=ada@corp.example;",
        "ada@corp.example evil@attacker.example",
        "ada@corp.example\\, evil@attacker.example",
        "Ada <ada@corp.example> evil@attacker.example",
        "Ada <ada@corp.example",
        '"Ada <ada@corp.example>',
        "Ada (Lovelace <ada@corp.example>",
        "Team: Other: ada@corp.example;;",
        "ada@corp.example; evil@attacker.example",
        "<@relay.example:ada@corp.example>",
        "ada@corp.example@attacker.example",
    ],
)
def test_an_ambiguous_address_header_is_refused(value: str) -> None:
    for way, name in product(WAYS, ADDRESS_HEADERS):
        try:
            message = with_header(way, name, value)
        except AttributeError:  # the email package's own parser gives up
            continue
        with pytest.raises(MessageError) as caught:
            composed(message)
        assert caught.value.field.partition("[")[0] == name, (way, name)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("=?utf-8?q?A?= =?utf-8?q?B?= <a@example.com>", "AB <a@example.com>"),
        ("=?utf-8?q?A?= =?latin-1?q?B?= C <a@x>", "AB C <a@x>"),
        ('"x" =?utf-8?q?A?= =?utf-8?q?B?= y <b@x>', "x AB y <b@x>"),
        ("=?utf-8?q?A=2C_c=40x=2C?= <a@x>, b@x", '"A, c@x," <a@x>, b@x'),
        ("Team: =?utf-8?q?A?= =?utf-8?q?B?= <a@x>, b@x;, c@x", "AB <a@x>, b@x, c@x"),
        ("John Q. Public <j@x>", '"John Q. Public" <j@x>'),
        ("Ada (of (the) \\) house) <a@x> (she)", "Ada <a@x>"),
        ("a@x, , b@x,", "a@x, b@x"),
        ('"a,b"@x, c@[192.0.2.1]', '"a,b"@x, c@[192.0.2.1]'),
    ],
)
def test_names_and_addresses_are_parsed_correctly(value: str, written: str) -> None:
    for way, name in product(WAYS, ["Cc", "Reply-To", "Mail-Followup-To", "Resent-Cc"]):
        message = with_header(way, name, value)
        assert read_strictly(composed(message).content)[name] == written, (way, name)


@pytest.mark.parametrize("name", ["Cc", "Reply-To", "Mail-Followup-To", "Resent-Cc"])
def test_non_ascii_names_are_decoded(name: str) -> None:
    for way in ("set", "set in a legacy message"):
        message = with_header(way, name, '"Löwe, A" <a@x>')
        written = read_strictly(composed(message).content)[name]
        assert written == "=?utf-8?q?L=C3=B6we=2C_A?= <a@x>", way


@pytest.mark.parametrize("way", WAYS)
def test_the_sender_may_have_a_name(way: str) -> None:
    message = WAYS[way](
        {"To": "a@x", "From": "=?utf-8?q?A?= =?utf-8?q?B?= <a@example.com>"}
    )
    assert read_strictly(composed(message).content)["From"] == "AB <a@example.com>"


def test_machine_readable_headers_keep_encoded_words() -> None:
    value = "=?utf-8?q?Sch=C3=B6n?= <news.example.org>"
    for way in WAYS:
        message = with_header(way, "List-Id", value)
        assert read_strictly(composed(message).content)["List-Id"] == value, way


def test_address_objects_of_the_standard_library_are_accepted() -> None:
    message = EmailMessage()
    message["To"] = [
        StandardAddress("Löwe, A", "a", "x"),
        StandardAddress(addr_spec='"b c"@x'),
    ]
    one = composed(message)
    assert one.envelope.recipients == ("a@x", '"b c"@x')
    read = email.message_from_bytes(one.content, policy=default)
    assert [name.display_name for name in read["To"].addresses] == ["Löwe, A", ""]


def test_a_legacy_header_encoded_as_a_whole_is_one_address() -> None:
    message = LegacyMessage()
    message["To"] = cast(Any, Header("Ünal <u@x>", "utf-8"))
    assert composed(message).envelope.recipients == ("u@x",)


@pytest.mark.parametrize(
    "header",
    [
        Header("evil@x, Ünal <u@x>", "utf-8"),
        Header("Team: Ünal <u@x>;", "utf-8"),
        make_header(decode_header("=?utf-8?q?evil=40x=2c?=ada@y.example")),
        make_header(decode_header("=?utf-8?q?evil=40x=2c?= ada@y.example")),
    ],
)
def test_a_legacy_header_never_becomes_several_addresses(header: Header) -> None:
    message = LegacyMessage()
    message["To"] = cast(Any, header)
    with pytest.raises(AddressError, match=r"^To"):
        composed(message)


def test_undecoded_bytes_are_refused_by_name() -> None:
    source = b"To: a@x\nSubject: caf\xf0\n\nHello\n"
    for policy in (default, compat32):
        message = email.message_from_bytes(source, policy=policy)
        with pytest.raises(MessageError, match="the byte 0xF0 at position 3"):
            composed(message)


def test_a_mailbox_in_different_case_is_one_recipient() -> None:
    message = Message(
        sender="me@x.example",
        recipients=["Ada@x.org", "bob@x.org"],
        cc=["ada@X.org"],
        bcc=["JÖRG@x.org", "jo\u0308rg@x.org"],
    )
    envelope = compose(message).envelope
    assert envelope.recipients == ("Ada@x.org", "bob@x.org", "JÖRG@x.org")


def test_long_hostile_texts_take_linear_time() -> None:
    for text in (
        "(" * 50_000,
        '"' * 50_001,
        "=?" * 50_000,
        "<" * 50_000,
        "=?a?q?" * 9_999,
    ):
        with pytest.raises(AddressError):
            read_mailboxes(text, "To")


# -- for any input -------------------------------------------------------------------

pieces = st.sampled_from(
    [
        *('"', "\\", "(", ")", "<", ">", ",", ";", ":", "@", "[", "]", " ", ".", "\t"),
        *("a", "b@x", "ada@corp.example", "<c@x>", "Ada ", '"q, r" ', "ü", "(c) "),
        *("=?utf-8?q?evil=40e.example=2C?=", "=?utf-8?q?A?=", "=?utf-8?b?QUBi?="),
        *(
            "=?utf-8?q?=0D=0ABcc=3A_e=40x?=",
            "=?utf-8?q?=22=3Ce=40x=3E=22?=",
            "=?x?q?a?=",
        ),
    ]
)
headers = st.lists(pieces, max_size=14).map("".join)


@quickly
@given(headers, st.sampled_from(list(WAYS)))
@example("üb@x", "set")
@example(" .\\", "set")
def test_no_text_adds_a_recipient_or_a_header(value: str, way: str) -> None:
    """Only what stands in the source, outside of encoded words, is ever mailed."""
    try:
        source = WAYS[way]({"Cc": value, "To": "t@x"})
    except (ValueError, IndexError, AttributeError, TypeError):
        return  # the standard library's parser stumbles
    try:
        one = composed(source)
    except (MessageError, ValueError, IndexError, AttributeError):
        return
    for recipient in one.envelope.recipients:
        assert "evil" not in recipient
        assert not recipient.startswith("e@")
    assert len(one.envelope.recipients) <= 1 + value.count("@")
    assert b"\r\nBcc" not in one.content
    read = email.message_from_bytes(one.content, policy=default)
    cc = read["Cc"].addresses if read["Cc"] else ()
    in_headers = ["t@x", *(in_utf8(address.addr_spec) for address in cc)]
    assert list(dict.fromkeys(map(str.lower, in_headers))) == list(
        map(str.lower, one.envelope.recipients)
    )


def in_utf8(text: str) -> str:
    """What the standard library's parser leaves as surrogates, for each byte one."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8")


printable = st.characters(exclude_categories=["Cs", "Cc"])
names = st.one_of(
    st.text(printable, max_size=80),
    st.text('aé =?_."\\,;<>()@', max_size=80),
    st.lists(st.sampled_from(["word", "=?utf-8?q?x?=", "é" * 40, "😀" * 20])).map(
        " ".join
    ),
)


@quickly
@given(
    st.lists(st.tuples(names, st.sampled_from(["a@x", '"b c"@x.example'])), min_size=1)
)
def test_composed_addresses_are_parsed_unchanged(pairs: list[tuple[str, str]]) -> None:
    content = compose(Message(sender="me@x", recipients=pairs)).content
    written = read_strictly(content)["To"]
    found = read_mailboxes(written, "To")
    assert [(one.display_name, one.spec) for one in found] == [
        (name.strip(" "), spec) for name, spec in pairs
    ]


@quickly
@given(st.lists(st.tuples(names, st.sampled_from(["a@x", "b@y.example"])), min_size=1))
def test_a_parsed_message_is_composed_with_the_same_addresses(
    pairs: list[tuple[str, str]],
) -> None:
    first = compose(Message(sender="me@x", recipients=pairs), now=0, unique="u")
    for policy in (default, compat32):
        message = email.message_from_bytes(first.content, policy=policy)
        again = compose(message, now=0, unique="u")
        assert read_strictly(again.content)["To"] == read_strictly(first.content)["To"]
        assert again.envelope == first.envelope
