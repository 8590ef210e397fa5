"""A mail that came in, read within limits: whatever its bytes, never an error."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message as StandardMessage
from email.policy import compat32
from typing import Self

from ..mime.parse import decoded

READ_BYTES = 256 * 1024
"""How much of a mail is read. What a report says comes first in it, and the mail that
it returns comes last.
"""

MOST_BOUNDARIES = 20
"""How many multiparts a mail may have; one with more is read as one text, because the
time to take it apart grows with their depth.
"""

LONGEST_TYPE = 2_000
"""How many octets a Content-Type header may have, likewise."""

SUBJECT_LENGTH = 500

_MAIL_SYSTEM = (
    r"mailer-?daemon|postmaster|mail-?daemon|mdaemon|mail[._-]?delivery[^@]{0,20}"
    r"|mail-?admin(?:istrator)?|administrator|bounces?|hostmaster"
    r"|delivery|mail-?system|returns|undeliverable"
)
_is_mail_system = re.compile(rf"(?:{_MAIL_SYSTEM}|no-?reply)@", re.IGNORECASE).match
_by_mail_system = re.compile(
    rf"^[\"<\s]*(?:{_MAIL_SYSTEM})\b|<(?:{_MAIL_SYSTEM})[@>]|microsoftexchange"
    r"|\b(?:mail|system) (?:delivery|administrator|system)\b|courier mail server",
    re.IGNORECASE,
).search


def is_mail_system(address: str) -> bool:
    """Whether the address is one of those from which mail systems write."""
    return _is_mail_system(address) is not None


_message_type = re.compile(rb"^(content-type:\s*)message/", re.IGNORECASE | re.M)
_any_type = re.compile(rb"^content-type:[^\n]*(?:\n[ \t][^\n]*)*", re.IGNORECASE | re.M)
_boundary = re.compile(rb"\bboundary\s{0,9}[*=]", re.IGNORECASE)
_style = re.compile(r"<(style|script)\b[^<>]*>[^<]*</\1>", re.IGNORECASE)
_line_end = re.compile(r"<(?:br|/?p|/?div|/tr|/?li|/?h\d)\b[^<>]*>", re.IGNORECASE)
_tag = re.compile(r"<[a-z/!][^<>]*>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class IncomingMail:
    """A mail's headers, its parts' texts, and whatever else it says."""

    head: Fields
    kind: str
    """Its content type, in lower case."""
    report_type: str
    """The kind of a ``multipart/report`` (RFC 6522), in lower case; else empty."""
    parts: tuple[Part, ...]
    whole: str = field(repr=False)
    """All of it as one text, as it came."""

    @classmethod
    def read(cls, content: bytes) -> Self:
        """Read the first `READ_BYTES` of a mail; never raises."""
        content = content[:READ_BYTES].replace(b"\r\n", b"\n")
        whole = content.decode("utf-8", "replace")
        head = Fields.read(whole.partition("\n\n")[0])
        if _is_intricate(content):
            return cls(head, "text/plain", "", (Part("text/plain", whole),), whole)
        message = message_from_bytes(
            _message_type.sub(rb"\1application/", content), policy=compat32
        )
        return cls(
            head=head,
            kind=message.get_content_type(),
            report_type=_parameter(message, "report-type"),
            parts=tuple(_parts(message)),
            whole=whole,
        )

    def header(self, name: str) -> str:
        """The first value of a header, decoded; empty without one."""
        return decoded(self.head.first(name))

    @property
    def subject(self) -> str:
        """The beginning of its subject."""
        return self.header("subject")[:SUBJECT_LENGTH]

    @property
    def by_mail_system(self) -> bool:
        """Whether a mail system says that it wrote it, and not a person."""
        senders = (self.header(one)[:SUBJECT_LENGTH] for one in ("from", "sender"))
        return self.head.has("x-failed-recipients") or any(
            map(_by_mail_system, senders)
        )

    def part(self, *subtypes: str) -> Part | None:
        """The first part of such a type, whether its maintype is right or not."""
        found = (one for one in self.parts if one.kind.partition("/")[2] in subtypes)
        return next(found, None)

    @property
    def returned(self) -> Fields:
        """The headers of the mail that it returns; none if it returns none."""
        part = self.part(*_RETURNED)
        return Fields.read(part.text.lstrip("\n").partition("\n\n")[0] if part else "")

    @property
    def text(self) -> str:
        """What it says to people."""
        plain = [one.text for one in self.parts if one.kind == "text/plain"]
        marked_up = [one.text for one in self.parts if one.kind == "text/html"]
        return "\n".join(plain) if any(map(str.strip, plain)) else "\n".join(
            map(_without_markup, marked_up)
        )  # fmt: skip


_RETURNED = ("rfc822", "rfc822-headers", "global", "global-headers", "partial")


@dataclass(frozen=True, slots=True)
class Part:
    """A part that has no parts of its own. A returned mail is one, too."""

    kind: str
    """Its content type, in lower case; of a ``message/…`` it is ``application/…``."""
    text: str


class Fields:
    """Header fields, or fields like them; names are case-insensitive."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs

    @classmethod
    def read(cls, text: str) -> Self:
        """The fields in ``text``, unfolded; lines that are none are passed over."""
        pairs: list[tuple[str, list[str]]] = []
        for line in text.split("\n"):
            name, colon, value = line.partition(":")
            if line[:1] in (" ", "\t"):
                if pairs:
                    pairs[-1][1].append(line.strip())
            elif colon and name.strip() and " " not in name.strip():
                pairs.append((name.strip().lower(), [value.strip()]))
        return cls([(name, " ".join(lines).strip()) for name, lines in pairs])

    def first(self, name: str) -> str:
        """The first value; empty without one."""
        return next(iter(self.all(name)), "")

    def all(self, name: str) -> list[str]:
        """Every value, in order."""
        return [value for key, value in self._pairs if key == name.lower()]

    def has(self, *names: str) -> bool:
        """Whether there is any of these."""
        return any(key in map(str.lower, names) for key, _ in self._pairs)


def _is_intricate(content: bytes) -> bool:
    return len(_boundary.findall(content)) > MOST_BOUNDARIES or any(
        len(one[0]) > LONGEST_TYPE for one in _any_type.finditer(content)
    )


def _parameter(message: StandardMessage, name: str) -> str:
    value = message.get_param(name)
    return value.strip().lower() if isinstance(value, str) else ""


def _parts(message: StandardMessage) -> Iterator[Part]:
    for part in message.walk():
        if not part.is_multipart():
            yield Part(part.get_content_type(), _text(part))


def _text(part: StandardMessage) -> str:
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return ""
    charset = part.get_content_charset() or "utf-8"
    try:
        text = content.decode(charset, "replace")
    except (LookupError, ValueError):
        text = content.decode("utf-8", "replace")
    return text.replace("\r\n", "\n")


def _without_markup(text: str) -> str:
    text = _line_end.sub("\n", _style.sub("", text.replace("\n", " ")))
    return html.unescape(_tag.sub("", text))
