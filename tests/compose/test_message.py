"""`Message` and `Attachment`: what a person composes, before anything is judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flask_outbox.errors import AddressError, AttachmentError, MessageError
from flask_outbox.message import Address, Attachment, Message


def test_a_message_starts_empty_and_shares_nothing() -> None:
    first, second = Message(), Message()
    first.recipients.append("a@x")
    first.extra_headers["X-Tag"] = "1"
    first.attach("a.txt", data="a")
    assert (second.recipients, second.extra_headers, second.attachments) == ([], {}, [])
    assert (second.subject, second.body, second.html, second.sender) == (
        ("", None, None, None)
    )


def test_lists_are_copied() -> None:
    recipients = ["a@x"]
    message = Message(recipients=recipients)
    message.add_recipient(("Bob", "b@x"))
    assert recipients == ["a@x"]
    assert message.recipients == ["a@x", ("Bob", "b@x")]


def test_html_is_one_of_the_alternatives() -> None:
    message = Message(html="<p>", alts={"calendar": "BEGIN"})
    assert message.alts == {"calendar": "BEGIN", "html": "<p>"}
    message.html = None
    assert message.alts == {"calendar": "BEGIN"}
    message.html = None
    assert Message(alts=[("html", "<b>")]).html == "<b>"


def test_send_to_is_everyone_once() -> None:
    message = Message(recipients=["a@x"], cc=["b@x", "a@x"], bcc=[("C", "c@x")])
    assert message.send_to == {"a@x", "b@x", ("C", "c@x")}


@pytest.mark.parametrize("field", ["recipients", "cc", "bcc"])
def test_a_string_is_no_list_of_recipients(field: str) -> None:
    arguments: dict[str, Any] = {field: "ada@example.org"}
    with pytest.raises(
        AddressError, match=f"^{field}: 'ada@example.org' is not a list"
    ):
        Message(**arguments)


@pytest.mark.parametrize("field", ["mail_options", "rcpt_options"])
def test_a_string_is_no_list_of_options(field: str) -> None:
    arguments: dict[str, Any] = {field: "NOTIFY=NEVER"}
    with pytest.raises(MessageError, match=f"^{field}: "):
        Message(**arguments)


@pytest.mark.parametrize(
    ("filename", "data", "content_type"),
    [
        ("a.png", b"", "image/png"),
        ("a.pdf", b"", "application/pdf"),
        ("a.tar.gz", b"", "application/gzip"),
        ("a.csv.bz2", b"", "application/x-bzip2"),
        ("a.csv.br", b"", "application/octet-stream"),
        ("no-suffix", b"", "application/octet-stream"),
        ("no-suffix", "", "text/plain"),
        (None, b"", "application/octet-stream"),
        (None, "", "text/plain"),
        ("http://[/a.png", b"", "image/png"),
        ("data:text/html,a.png", b"", "image/png"),
    ],
)
def test_the_type_is_guessed(
    filename: str | None, data: str | bytes, content_type: str
) -> None:
    assert Attachment(filename, data=data).content_type == content_type


def test_attach_takes_what_flask_mail_takes() -> None:
    message = Message()
    message.attach("a.bin", "x/y", b"1", "inline", {"X-Foo": "bar"})
    [attachment] = message.attachments
    assert attachment.filename == "a.bin"
    assert attachment.content_type == "x/y"
    assert attachment.data == b"1"
    assert attachment.disposition == "inline"
    assert attachment.headers == {"X-Foo": "bar"}


def test_a_content_id_makes_it_inline() -> None:
    assert Attachment("a.png", data=b"", content_id="logo").disposition == "inline"
    assert Attachment("a.png", data=b"").disposition == "attachment"


@pytest.mark.parametrize("data", [bytearray(b"abc"), memoryview(b"abc")])
def test_octets_are_octets(data: Any) -> None:
    assert Attachment("a", data=data).data == b"abc"


def test_a_missing_or_wrong_content_is_refused_at_the_call(tmp_path: Path) -> None:
    with pytest.raises(AttachmentError, match=r"^data: is missing.*from_path"):
        Attachment("a.txt")
    wrong: Any = (tmp_path / "a").open("wb")
    with wrong, pytest.raises(AttachmentError, match=r"its \.read\(\)"):
        Message().attach("a.txt", data=wrong)


def test_a_file_is_read_at_the_call(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    path.write_bytes(b"1,2\n")
    attachment = Attachment.from_path(path)
    path.unlink()
    assert (attachment.filename, attachment.data) == ("report.csv", b"1,2\n")
    assert attachment.content_type == "text/csv"


def test_a_file_may_go_by_another_name(tmp_path: Path) -> None:
    path = tmp_path / "tmp123"
    path.write_bytes(b"")
    attachment = Attachment.from_path(str(path), "logo.png", content_id="logo")
    assert (attachment.filename, attachment.content_type) == ("logo.png", "image/png")
    assert attachment.content_id == "logo"


@pytest.mark.parametrize("name", ["missing.pdf", ".", "nul\0.pdf"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(AttachmentError) as caught:
        Attachment.from_path(tmp_path / name)
    assert str(tmp_path) in str(caught.value)


def test_they_show_what_they_are() -> None:
    assert repr(Message("Hello", recipients=["a@x"])) == "<Message 'Hello'>"
    assert repr(Attachment("a.csv", data="")) == "<Attachment 'a.csv' text/csv>"
    assert isinstance(Address("", "a", "x"), Address)
