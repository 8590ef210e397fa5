"""A finished message, taken apart for an API that takes fields in place of bytes.

In these APIs the fields To, Cc and Bcc *are* the envelope. They are made from the
envelope: whoever is in a header but not in it is left out, and whoever is in no header
becomes Bcc.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from email.message import Message
from email.utils import getaddresses

from ...delivery import Envelope
from ...dkim import name_of, split_content
from ...errors import MessageError
from ...message import comparable
from ...mime.parse import decoded

_SEALED = re.compile("pkcs7|pgp")
"""Types of what is signed or encrypted."""

_ADDRESS = r"[\w.+-]+@[\w.-]+"
_plain_mailbox = re.compile(
    rf"(?:(\w[\w ]*?) ?)?<({_ADDRESS})>|({_ADDRESS})", re.ASCII
).fullmatch
"""One address, perhaps with a name of words: most headers, which need no parser."""

Mailbox = tuple[str, str]
"""A name, or "", and an address."""

_WRITTEN_BY_THE_API = {
    "from", "to", "cc", "bcc", "reply-to", "subject", "date", "message-id", "sender",
    "mime-version", "content-type", "content-transfer-encoding", "content-disposition",
    "content-id", "content-language", "dkim-signature", "received", "return-path",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class File:
    """An attachment, or what the HTML shows inside itself."""

    name: str
    content_type: str
    content: bytes
    content_id: str | None
    """What the HTML calls it by (``cid:``); None for an attachment."""

    @property
    def base64(self) -> str:
        """The content, encoded."""
        return b64encode(self.content).decode()


@dataclass(frozen=True, slots=True)
class Fields:
    """What a message says, and to whom one request sends it."""

    sender: Mailbox
    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...]
    bcc: tuple[Mailbox, ...]
    reply_to: tuple[Mailbox, ...]
    subject: str
    rfc_message_id: str
    text: str | None
    html: str | None
    files: tuple[File, ...]
    headers: dict[str, str]
    """All that no other field says; the values of a repeated one have commas between.
    """
    message_id: str | None = None
    """The outbox's id of the message."""

    @classmethod
    def read(cls, content: bytes) -> Fields:
        """Take a message apart; its recipients are those of its headers.

        Raises `MessageError` for what no field can say.
        """
        fields, body = split_content(content)
        headers = Headers.read(fields)
        senders = headers.mailboxes("From")
        if len(senders) != 1:
            raise MessageError("From", "this transport takes one sender, not several.")
        bodies = _Bodies()
        bodies.take(part_of(fields, body))
        return cls(
            sender=senders[0],
            to=headers.mailboxes("To"),
            cc=headers.mailboxes("Cc"),
            bcc=(),
            reply_to=headers.mailboxes("Reply-To"),
            subject=headers.text("Subject"),
            rfc_message_id=headers.text("Message-ID"),
            text=bodies.text,
            html=bodies.html,
            files=tuple(bodies.files),
            headers={
                name: headers.text(name)
                for name in headers.names
                if name.lower() not in _WRITTEN_BY_THE_API
            },
        )

    def addressed(self, envelope: Envelope) -> Fields:
        """The same, to the envelope's recipients and to nobody else.

        Without a To, those in Cc take its place, and without these the sole recipient.
        """
        wanted = {comparable(one): one for one in envelope.recipients}
        to = tuple(one for one in self.to if wanted.pop(comparable(one[1]), None))
        cc = tuple(one for one in self.cc if wanted.pop(comparable(one[1]), None))
        bcc = tuple(("", one) for one in wanted.values())
        if not to:
            to, cc = cc, ()
        if not to:
            to, bcc = bcc, ()
        return replace(self, to=to, cc=cc, bcc=bcc, message_id=envelope.message_id)

    def is_in_headers(self, recipient: str) -> bool:
        """Whether To or Cc names this recipient."""
        named = {comparable(one[1]) for one in (*self.to, *self.cc)}
        return comparable(recipient) in named


@dataclass(frozen=True, slots=True)
class Headers:
    """The headers of a message."""

    names: tuple[str, ...]
    """Each once, in their order."""
    values: Mapping[str, list[str]]
    """Name in lower case → its values, each on one line, as they are written."""

    @classmethod
    def read(cls, fields: Iterable[bytes]) -> Headers:
        """Read header fields, folded as they are."""
        names: list[str] = []
        values: dict[str, list[str]] = {}
        for field in fields:
            name, _, value = field.decode("utf-8", "replace").partition(":")
            name = name.strip()
            if name.lower() not in values:
                names.append(name)
            values.setdefault(name.lower(), []).append(" ".join(value.split()))
        return cls(tuple(names), values)

    def text(self, name: str) -> str:
        """The value, decoded; those of a repeated one have commas between."""
        return ", ".join(decoded(one) for one in self.values.get(name.lower(), []))

    def mailboxes(self, name: str) -> tuple[Mailbox, ...]:
        """The names and addresses in all headers of this name."""
        values = self.values.get(name.lower())
        if values is None:
            return ()
        if len(values) == 1 and (plain := _plain_mailbox(values[0])):
            return ((plain[1] or "", plain[2] or plain[3]),)
        return tuple(
            (decoded(one), address) for one, address in getaddresses(values) if address
        )


def part_of(fields: Iterable[bytes], body: bytes) -> Message:
    """A part with its content headers, and the parts in it (RFC 2046 section 5.1).

    The standard library's parser reads each line of a body, which takes several times
    as long.
    """
    part = Message()
    for field in fields:
        if name_of(field).startswith(b"content-"):
            name, _, value = field.decode("utf-8", "replace").partition(":")
            part[name.strip()] = value.strip()
    boundary = part.get_boundary()
    if part.get_content_maintype() != "multipart" or boundary is None:
        part.set_payload(body.decode("ascii", "surrogateescape"))
        return part
    delimiter = rb"(?:^|\r\n)--%s(--)?[ \t]*(?=\r\n|$)" % re.escape(boundary.encode())
    _, *rest = re.split(delimiter, body)  # what comes before the first is no part
    for ends, after in zip(rest[::2], rest[1::2], strict=True):
        if ends:
            break
        content = after.removeprefix(b"\r\n")
        if content.startswith(b"\r\n"):  # it has no headers
            part.attach(part_of([], content.removeprefix(b"\r\n")))
        else:
            part.attach(part_of(*split_content(content)))
    return part


def written(mailbox: Mailbox) -> str:
    """``"Name" <address>``, or the address alone."""
    name, address = mailbox
    if not name:
        return address
    quoted = name.replace("\\", r"\\").replace('"', r"\"")
    return f'"{quoted}" <{address}>'


class _Bodies:
    """The text, the HTML and the files in the tree of parts."""

    def __init__(self) -> None:
        self.text: str | None = None
        self.html: str | None = None
        self.files: list[File] = []

    def take(self, part: Message, within: str = "") -> None:
        kind = part.get_content_type()
        if kind in ("multipart/mixed", "multipart/alternative", "multipart/related"):
            for child in part.get_payload() if part.is_multipart() else ():
                assert isinstance(child, Message)
                self.take(child, kind)
        elif kind.startswith(("multipart/", "message/")) or _SEALED.search(kind):
            raise _impossible(kind)
        elif part.get_content_disposition() == "attachment" or not self._take_body(
            part, kind
        ):
            self._take_file(part, kind, within)

    def _take_body(self, part: Message, kind: str) -> bool:
        if kind == "text/plain" and self.text is None:
            self.text = _text(part)
        elif kind == "text/html" and self.html is None:
            self.html = _text(part)
        else:
            return False
        return True

    def _take_file(self, part: Message, kind: str, within: str) -> None:
        if within == "multipart/alternative":
            raise _impossible(f"{kind} as an alternative of the text")
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        inline = within == "multipart/related" or part.get_content_disposition() == (
            "inline"
        )
        content_id = str(part["Content-ID"] or "").strip().strip("<>")
        name = decoded(part.get_filename() or "") or f"attachment-{len(self.files) + 1}"
        shown = content_id if inline and content_id else None
        self.files.append(File(name, kind, content, shown))


def _impossible(what: str) -> MessageError:
    return MessageError(
        "message",
        f"this transport cannot send {what}: its API takes a text, an HTML and files, "
        "and writes the message itself. Send it by SMTP, or by an API that takes the "
        "message as it is.",
    )


def _text(part: Message) -> str:
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    try:
        return content.decode(part.get_content_charset("utf-8"), "replace")
    except LookupError:  # a charset that Python does not know
        return content.decode("utf-8", "replace")
