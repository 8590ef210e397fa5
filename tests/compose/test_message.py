"""`Message` and `Attachment`: what they take, before the message is composed."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from werkzeug.datastructures import FileStorage

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


def test_send_to_has_every_recipient_once() -> None:
    message = Message(recipients=["a@x"], cc=["b@x", "a@x"], bcc=[("C", "c@x")])
    assert message.send_to == {"a@x", "b@x", ("C", "c@x")}


@pytest.mark.parametrize("field", ["recipients", "cc", "bcc"])
def test_a_string_for_recipients_is_refused(field: str) -> None:
    arguments: dict[str, Any] = {field: "ada@example.org"}
    with pytest.raises(
        AddressError, match=f"^{field}: 'ada@example.org' is not a list"
    ):
        Message(**arguments)


@pytest.mark.parametrize("field", ["mail_options", "rcpt_options"])
def test_a_string_for_options_is_refused(field: str) -> None:
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
def test_the_content_type_is_guessed_from_the_name(
    filename: str | None, data: str | bytes, content_type: str
) -> None:
    assert Attachment(filename, data=data).content_type == content_type


def test_attach_takes_flask_mails_arguments() -> None:
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
def test_bytes_stay_bytes(data: Any) -> None:
    assert Attachment("a", data=data).data == b"abc"


def test_a_missing_content_is_refused_at_the_call() -> None:
    with pytest.raises(AttachmentError, match=r"^data: is missing.*from_path"):
        Attachment("a.txt")


class NoFile:
    """It has a name, and nothing to read."""

    name = "a.txt"


class Asynchronous:
    """It answers nothing that is there at once."""

    def read(self) -> object:
        return self


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (7, "is 7; pass str, bytes, a path or a file open for reading"),
        (NoFile(), "pass str, bytes, a path or a file open for reading"),
        (io.BytesIO, "pass str, bytes, a path or a file open for reading"),
        (io.StringIO("a"), r"is open as text; open it as 'rb', or pass its \.read\(\)"),
        (Asynchronous(), r"whose \.read\(\) gives <.*; pass bytes"),
    ],
)
def test_a_wrong_content_is_refused_at_the_call(wrong: Any, reason: str) -> None:
    message = Message()
    with pytest.raises(AttachmentError, match=rf"^data: .*{reason}"):
        message.attach("a.txt", data=wrong)
    assert message.attachments == []


def test_a_file_that_is_not_open_for_reading_is_refused(tmp_path: Path) -> None:
    file: Any = (tmp_path / "a").open("wb")
    with file, pytest.raises(AttachmentError, match=r"^data: cannot read .*: read"):
        Message().attach("a.txt", data=file)
    with pytest.raises(AttachmentError, match=r"^data: cannot read .*closed file"):
        Message().attach("a.txt", data=file)


def test_an_open_file_is_read_from_the_start_and_keeps_its_position(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.csv").write_bytes(b"1,2\n")
    made = io.BytesIO()
    made.write(b"%PDF")
    message = Message()
    with (tmp_path / "a.csv").open("rb") as file:
        message.attach(data=file)
        assert file.read() == b"1,2\n"
    message.attach("a.pdf", data=made)
    message.attach(data=made)
    assert made.tell() == 4
    assert [(a.filename, a.content_type, a.data) for a in message.attachments] == [
        ("a.csv", "text/csv", b"1,2\n"),
        ("a.pdf", "application/pdf", b"%PDF"),
        (None, "application/octet-stream", b"%PDF"),
    ]


class Stream:
    """Octets that come once, as from a network; ``name`` is no file's name."""

    name = 7

    def read(self) -> bytes:
        return b"abc"


def test_a_stream_that_cannot_be_rewound_is_read_from_its_position() -> None:
    attachment = Attachment(data=Stream())
    assert (attachment.filename, attachment.data) == (None, b"abc")
    reader, writer = os.pipe()
    os.write(writer, b"abc")
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert Attachment("a", data=pipe).data == b"abc"


def test_a_path_is_read_and_gives_the_name(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    path.write_bytes(b"1,2\n")
    named, other = Attachment(data=path), Attachment("a.txt", "x/y", path)
    assert (named.filename, named.content_type) == ("report.csv", "text/csv")
    assert (other.filename, other.content_type) == ("a.txt", "x/y")
    assert named.data == other.data == b"1,2\n"


@pytest.mark.parametrize(
    ("filename", "told", "name", "content_type"),
    [
        ("bill.pdf", "application/x-pdf", "bill.pdf", "application/x-pdf"),
        ("C:\\Users\\Ada\\bill.pdf", None, "bill.pdf", "application/pdf"),
        ("../../bill.pdf", "", "bill.pdf", "application/pdf"),
        ("a.csv", "Text/CSV; header=present", "a.csv", "text/csv"),
        ("a.csv", "nonsense", "a.csv", "text/csv"),
        ("a.csv", "multipart/mixed; boundary=b", "a.csv", "text/csv"),
        ("", None, None, "application/octet-stream"),
        (None, None, None, "application/octet-stream"),
    ],
)
def test_an_upload_gives_its_name_and_type(
    filename: str | None, told: str | None, name: str | None, content_type: str
) -> None:
    upload = FileStorage(io.BytesIO(b"abc"), filename, "field", told)
    upload.read(2)
    attachment = Attachment(data=upload)
    assert (attachment.filename, attachment.content_type) == (name, content_type)
    assert attachment.data == b"abc"
    given = Attachment("b.txt", "text/x-b", upload)
    assert (given.filename, given.content_type) == ("b.txt", "text/x-b")


def test_a_file_is_read_at_the_call(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    path.write_bytes(b"1,2\n")
    attachment = Attachment.from_path(path)
    path.unlink()
    assert (attachment.filename, attachment.data) == ("report.csv", b"1,2\n")
    assert attachment.content_type == "text/csv"


def test_a_file_may_have_another_name(tmp_path: Path) -> None:
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


def test_repr_shows_the_subject_or_the_file() -> None:
    assert repr(Message("Hello", recipients=["a@x"])) == "<Message 'Hello'>"
    assert repr(Attachment("a.csv", data="")) == "<Attachment 'a.csv' text/csv>"
    assert isinstance(Address("", "a", "x"), Address)
