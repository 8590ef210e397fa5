"""What a mail says, read by the standard library: all that a reader could notice."""

from __future__ import annotations

from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from email.utils import getaddresses, parsedate_to_datetime
from typing import cast

from tests.servers import Mail

IDENTITY = {"message-id", "date"}
FORM = {"mime-version", "content-type", "content-transfer-encoding"}
LISTS = {"to", "cc"}


@dataclass(frozen=True)
class Essence:
    """Two mails with the same essence say the same."""

    headers: tuple[tuple[str, object], ...]
    texts: tuple[tuple[str, str], ...]
    files: tuple[tuple[str | None, str, str | None, str | None, bytes], ...]


def essence(content: bytes) -> Essence:
    """Neither the order of recipients counts, nor how parts are encoded and nested,
    nor whether a space in a header is a tab.

    Nor does an empty plain text beside others, nor which line ends are used.
    """
    read = message_from_bytes(content, policy=default)
    assert isinstance(read, EmailMessage)
    leaves = [part for part in read.walk() if not part.is_multipart()]
    texts = [one for one in leaves if one.get_content_disposition() is None]
    files = [one for one in leaves if one.get_content_disposition() is not None]
    return Essence(
        tuple(sorted(_headers(read))),
        tuple(
            (one.get_content_type(), text)
            for one in texts
            if (text := _text(one)) or len(texts) == 1
        ),
        tuple(
            (
                one.get_filename(),
                one.get_content_type(),
                one.get_content_disposition(),
                one["Content-ID"],
                cast(bytes, one.get_payload(decode=True)),
            )
            for one in files
        ),
    )


def date_of(mail: Mail) -> float:
    """The moment that its Date header says."""
    return parsedate_to_datetime(message_from_bytes(mail.content)["Date"]).timestamp()


def _headers(read: EmailMessage) -> list[tuple[str, str]]:
    return [
        (name, _listed(value) if name in LISTS else value.replace("\t", " "))
        for key, value in read.items()
        if (name := key.lower()) not in IDENTITY | FORM
    ]


def _listed(value: str) -> str:
    return str(sorted(getaddresses([value])))


def _text(part: EmailMessage) -> str:
    return str(part.get_content()).replace("\r\n", "\n").removesuffix("\n")
