"""Messages that could never be sent: the error names the field and what to do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from flask_outbox import (
    AddressError,
    Attachment,
    AttachmentError,
    ConfigError,
    HeaderError,
    Mail,
    Message,
    MessageError,
    OutboxUnavailable,
)
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, Site, make_app
from tests.servers import JournalSmtp

SOON = datetime.now(UTC) + timedelta(hours=1)
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]
ENDLESS: dict[str, Any] = {}
ENDLESS["itself"] = ENDLESS


def _standard(**headers: str) -> EmailMessage:
    message = EmailMessage()
    for name, value in headers.items():
        message[name] = value
    message.set_content("Hello\n")
    return message


def _with_file(**arguments: Any) -> Message:
    message = Message("Hello", [ADA], "Hello\n")
    message.attach(**arguments)
    return message


BAD_MESSAGES: dict[str, tuple[Callable[[], Any], type[MessageError], str, str]] = {
    "no recipient": (
        lambda: Message("Hello", [], "Hello"),
        AddressError,
        "recipients",
        "pass recipients=",
    ),
    "a string for the list of recipients": (
        lambda: Message("Hello", ADA, "Hello"),
        AddressError,
        "recipients",
        "pass a list",
    ),
    "an address without an at": (
        lambda: Message("Hello", [ADA, "bob"], "Hello"),
        AddressError,
        "recipients[1]",
        "'bob' has no '@'; write an address such as",
    ),
    "an address without a domain": (
        lambda: Message("Hello", ["ada@"], "Hello"),
        AddressError,
        "recipients[0]",
        "write the domain there",
    ),
    "two addresses in one string": (
        lambda: Message("Hello", ["ada@example.org, bob@example.org"], "Hello"),
        AddressError,
        "recipients[0]",
        "pass a list with one address in each string",
    ),
    "a newline in an address": (
        lambda: Message("Hello", ["ada@example.org\r\nBcc: eve@example.org"], "Hello"),
        AddressError,
        "recipients[0]",
        "U+000D at position 15; remove that character",
    ),
    "a newline in the name of an address": (
        lambda: Message("Hello", [("Ada\nBcc: eve@example.org", ADA)], "Hello"),
        AddressError,
        "recipients[0]",
        "U+000A at position 3; remove that character",
    ),
    "None for an address": (
        lambda: Message("Hello", [None], "Hello"),  # type: ignore[list-item]
        AddressError,
        "recipients[0]",
        "is not an address; pass",
    ),
    "a broken cc": (
        lambda: Message("Hello", [ADA], "Hello", cc=["@example.org"]),
        AddressError,
        "cc[0]",
        "write the mailbox there",
    ),
    "a broken bcc": (
        lambda: Message("Hello", [ADA], "Hello", bcc=["a..b@example.org"]),
        AddressError,
        "bcc[0]",
        "misplaced dot",
    ),
    "a broken reply_to": (
        lambda: Message("Hello", [ADA], "Hello", reply_to="reply"),
        AddressError,
        "reply_to",
        "has no '@'",
    ),
    "a broken sender": (
        lambda: Message("Hello", [ADA], "Hello", sender="the shop"),
        AddressError,
        "sender",
        "has no '@'",
    ),
    "a newline in the subject": (
        lambda: Message("Hello\r\nBcc: eve@example.org", [ADA], "Hello"),
        HeaderError,
        "subject",
        "U+000D at position 5; remove that character",
    ),
    "a newline in a header's name": (
        lambda: Message("Hello", [ADA], "Hello", extra_headers={"X-A\nBcc": "eve"}),
        HeaderError,
        "extra_headers['X-A\\nBcc']",
        "is not a header name; use letters",
    ),
    "a newline in a header's value": (
        lambda: Message("Hello", [ADA], "Hello", extra_headers={"X-A": "1\nBcc: eve"}),
        HeaderError,
        "extra_headers['X-A']",
        "U+000A at position 1; remove that character",
    ),
    "a header that an argument writes": (
        lambda: Message("Hello", [ADA], "Hello", extra_headers={"Bcc": "eve@x.org"}),
        HeaderError,
        "extra_headers['Bcc']",
        "pass bcc=",
    ),
    "a newline in a filename": (
        lambda: _with_file(filename="a\n.txt", data=b"a"),
        AttachmentError,
        "attachments[0].filename",
        "U+000A at position 1; remove that character",
    ),
    "a missing attachment file": (
        lambda: Message(
            "Hello", [ADA], attachments=[Attachment.from_path("/no/such/invoice.pdf")]
        ),
        AttachmentError,
        "path",
        "cannot read '/no/such/invoice.pdf': No such file or directory",
    ),
    "an attachment without content": (
        lambda: _with_file(filename="a.txt"),
        AttachmentError,
        "data",
        "pass the content, or use Attachment.from_path(path)",
    ),
    "an attachment that is none": (
        lambda: Message("Hello", [ADA], attachments=[b"x"]),  # type: ignore[list-item]
        AttachmentError,
        "attachments[0]",
        "pass an Attachment",
    ),
    "a date without a zone": (
        lambda: Message("Hello", [ADA], "Hello", date=datetime(2030, 1, 1)),  # noqa: DTZ001
        MessageError,
        "date",
        "has no time zone; use datetime.now(UTC)",
    ),
    "what is no message": (
        lambda: "Hello",
        MessageError,
        "message",
        "pass a Message or an EmailMessage",
    ),
    "several messages": (
        lambda: [Message("Hello", [ADA]), Message("Hello", [ADA])],
        MessageError,
        "message",
        "send many with mail.send_many(messages)",
    ),
    "a standard message to nobody": (
        lambda: _standard(Subject="Hello"),
        AddressError,
        "recipients",
        "pass recipients=",
    ),
    "a standard message with a broken To": (
        lambda: _standard(Subject="Hello", To="ada@example.org, bob"),
        AddressError,
        "To",
        "is broken",
    ),
}

BAD_WISHES: dict[str, tuple[dict[str, Any], str, str]] = {
    "a moment without a zone": (
        {"at": datetime(2030, 1, 1)},  # noqa: DTZ001
        "at",
        "Pass an aware datetime, for example datetime.now(UTC)",
    ),
    "a moment that is no datetime": (
        {"at": "tomorrow"},
        "at",
        "it is 'tomorrow': pass an aware datetime",
    ),
    "a moment at the end of all time": (
        {"at": datetime.max.replace(tzinfo=UTC)},
        "at",
        "9999",
    ),
    "a moment and a delay": ({"at": SOON, "delay": 5}, "at", "pass only one of"),
    "a delay below 0": ({"delay": -1}, "delay", "-1 is not a number of seconds >= 0"),
    "a timedelta below 0": ({"delay": timedelta(-1)}, "delay", "seconds >= 0"),
    "a delay that is no number": ({"delay": "5"}, "delay", "seconds >= 0"),
    "a delay of NaN": ({"delay": float("nan")}, "delay", "seconds >= 0"),
    "a delay without end": ({"delay": float("inf")}, "delay", "seconds >= 0"),
    "a delay beyond all calendars": ({"delay": 1e15}, "delay", "1000000000000000.0"),
    "a timedelta beyond all calendars": ({"delay": timedelta.max}, "delay", "999999"),
    "a delay beyond all floats": ({"delay": 10**400}, "delay", "1000000000"),
    "too high a priority": ({"priority": 1001}, "priority", "from -1000 to 1000"),
    "too low a priority": ({"priority": -1001}, "priority", "from -1000 to 1000"),
    "a priority between": ({"priority": 1.5}, "priority", "whole number"),
    "a priority in words": ({"priority": "high"}, "priority", "higher goes first"),
    "an empty key": ({"key": ""}, "key", "string of 1 to 255 characters"),
    "too long a key": ({"key": "x" * 256}, "key", "string of 1 to 255 characters"),
    "a key that is no string": ({"key": 17}, "key", "17 is not a string"),
    "a key of two lines": ({"key": "a\nb"}, "key", "cannot be printed"),
    "a key that ends with a space": ({"key": "a "}, "key", "remove it"),
    "a key with half a character": ({"key": "\ud800"}, "key", "cannot be printed"),
    "an empty tag": ({"tag": ""}, "tag", "string of 1 to 255 characters"),
    "too long a tag": ({"tag": "x" * 256}, "tag", "string of 1 to 255 characters"),
    "a tag that is no string": ({"tag": ["a"]}, "tag", "is not a string"),
    "a tag with a NUL": ({"tag": "a\0"}, "tag", "cannot be printed"),
    "NaN in metadata": (
        {"metadata": {"a": float("nan")}},
        "metadata",
        "metadata['a'] is nan",
    ),
    "a set in metadata": ({"metadata": {1, 2}}, "metadata", "Use dicts, lists"),
    "bytes in metadata": ({"metadata": {"a": [b"b"]}}, "metadata", "['a'][0] is b'b'"),
    "an object in metadata": ({"metadata": object()}, "metadata", "Use dicts, lists"),
    "half a character in metadata": ({"metadata": "\ud800"}, "metadata", "Use dicts"),
    "metadata within itself": ({"metadata": ENDLESS}, "metadata", "Use dicts, lists"),
    "metadata too deep": ({"metadata": DEEP}, "metadata", "Use dicts, lists"),
}


def _assert_nothing_happened(site: Site, server: JournalSmtp) -> None:
    assert site.counts() == {}
    assert site.heard == []
    assert server.connections_made == 0


@pytest.mark.parametrize("name", BAD_MESSAGES)
def test_a_message_that_could_never_be_sent_is_refused(
    make_site: MakeSite, server: JournalSmtp, name: str
):
    site = make_site(OUTBOX_ENGINE="external")
    make, error, field, advice = BAD_MESSAGES[name]
    with pytest.raises(error) as refused:
        site.mail.send(make())
    assert refused.value.field == field
    assert str(refused.value).startswith(f"{field}: ")
    assert advice in str(refused.value)
    _assert_nothing_happened(site, server)


@pytest.mark.parametrize("name", BAD_MESSAGES)
def test_send_now_refuses_the_same(make_site: MakeSite, server: JournalSmtp, name: str):
    site = make_site()
    make, error, field, _ = BAD_MESSAGES[name]
    with pytest.raises(error) as refused:
        site.mail.send_now(make())
    assert refused.value.field == field
    _assert_nothing_happened(site, server)


@pytest.mark.parametrize("name", BAD_WISHES)
def test_an_invalid_option_is_refused(
    make_site: MakeSite, server: JournalSmtp, name: str
):
    site = make_site(OUTBOX_ENGINE="external")
    options, field, advice = BAD_WISHES[name]
    with pytest.raises(MessageError) as refused:
        site.send(**options)
    assert refused.value.field == field
    assert advice in str(refused.value)
    assert len(str(refused.value)) < 1_000
    _assert_nothing_happened(site, server)


def test_a_refused_message_takes_no_key(site: Site, server: JournalSmtp):
    with pytest.raises(MessageError):
        site.send("ada@", key="order-17")
    receipt = site.send(key="order-17")
    assert not receipt.duplicate
    server.wait_for(1)


def test_one_bad_message_leaves_the_others_alone(site: Site, server: JournalSmtp):
    before = site.send()
    with pytest.raises(MessageError):
        site.send("ada@")
    after = site.send()
    assert {mail.rfc_message_id for mail in server.wait_for(2)} == {
        before.rfc_message_id,
        after.rfc_message_id,
    }


def test_a_message_without_any_sender_is_refused(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(MAIL_DEFAULT_SENDER=None, OUTBOX_ENGINE="external")
    with pytest.raises(AddressError, match=r"pass sender= or set MAIL_DEFAULT_SENDER"):
        site.send()
    _assert_nothing_happened(site, server)


def test_a_default_sender_that_is_no_address_is_named(make_site: MakeSite):
    site = make_site(OUTBOX_ENGINE="external")
    site.app.config["MAIL_DEFAULT_SENDER"] = "the shop"  # after init_app has looked
    with pytest.raises(AddressError) as refused:
        site.send()
    assert refused.value.field == "MAIL_DEFAULT_SENDER"


# --------------------------------------------------------------- the app's settings


def test_an_unknown_setting_suggests_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match=r"Did you mean OUTBOX_CONCURRENCY\?"):
        Mail(make_app(tmp_path / "app", MAIL_URL="inbox://", OUTBOX_CONCURENCY=3))


BAD_URLS: dict[str, tuple[dict[str, str], str]] = {
    "a scheme of the web": (
        {"MAIL_URL": "http://mail.example.com"},
        "MAIL_URL begins with 'http': it must begin with one of smtp://",
    ),
    "no host": ({"MAIL_URL": "smtp://"}, "MAIL_URL names no host. It looks like"),
    "a port beyond all ports": (
        {"MAIL_URL": "smtp://mail.example.com:99999"},
        "MAIL_URL",
    ),
    "no database URL": (
        {"OUTBOX_URL": "outbox.db"},
        "OUTBOX_URL is not a database URL",
    ),
    "an unknown database": (
        {"OUTBOX_URL": "dbase://user:hunter2@host/name"},
        "OUTBOX_URL begins with 'dbase', which is not supported: use one of sqlite, ",
    ),
    "a database whose driver is not installed": (
        {"OUTBOX_URL": "postgresql+pg8000://user:hunter2@host/name"},
        "is not installed",
    ),
    "a driver that is not ours": (
        {"OUTBOX_URL": "postgresql+psycopg2://user:hunter2@host/name"},
        'Write "postgresql+psycopg://" instead',
    ),
    "PostgreSQL as others write it": (
        {"OUTBOX_URL": "postgres://user:hunter2@host/name"},
        'begins with "postgres://": write "postgresql+psycopg://" instead',
    ),
    "a database in memory": ({"OUTBOX_URL": "sqlite://"}, "Name a file"),
}


@pytest.mark.parametrize("name", BAD_URLS)
def test_a_wrong_url_is_refused_when_the_app_is_made(tmp_path: Path, name: str):
    config, advice = BAD_URLS[name]
    with pytest.raises(ConfigError) as refused:
        Mail(make_app(tmp_path / "app", **{"MAIL_URL": "inbox://", **config}))
    assert advice in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert not (tmp_path / "app").exists()


def test_an_outbox_that_cannot_be_made_accepts_nothing(make_site: MakeSite, tmp_path):
    """The folder cannot be made where a file is in its place."""
    (tmp_path / "in-the-way").write_text("")
    site = make_site(
        OUTBOX_URL=f"sqlite:///{tmp_path}/in-the-way/outbox.db",
        OUTBOX_ENGINE="external",
    )
    with pytest.raises(OutboxUnavailable, match=r"in-the-way.*Nothing was stored"):
        site.send()


def test_an_outbox_that_is_no_database_accepts_nothing(make_site: MakeSite, tmp_path):
    (tmp_path / "notes.txt").write_text("no database, but long enough for one" * 100)
    site = make_site(
        OUTBOX_URL=f"sqlite:///{tmp_path}/notes.txt", OUTBOX_ENGINE="external"
    )
    with pytest.raises(OutboxUnavailable, match=r"check OUTBOX_URL.*Nothing was"):
        site.send()


def test_a_page_without_messages_is_refused(make_site: MakeSite):
    site = make_site(OUTBOX_ENGINE="external")
    with pytest.raises(ValueError, match="limit=0: a page holds at least one message"):
        site.mail.search(limit=0)
