"""What a server offered in its answer to EHLO, and how an envelope fits it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from ..delivery import Envelope, Reply

_COPING = re.compile(
    r"\bE?SMTPS?\b.*\b(Postfix|Exim|Sendmail|OpenSMTPD|Nodemailer)\b", re.I | re.S
)
"""The greeting of a server that was seen to cope with commands behind a content: what
names the software stands behind the host's name and the protocol's."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Offer:
    """The service extensions that our dialogue makes use of."""

    size: bool = False
    """SIZE (RFC 1870): MAIL may say how large the message is."""
    size_limit_bytes: int | None = None
    """The largest message the server takes, where it says so."""
    eight_bit: bool = False
    """8BITMIME (RFC 6152)."""
    utf8: bool = False
    """SMTPUTF8 (RFC 6531): addresses need not be ASCII."""
    pipelining: bool = False
    """PIPELINING (RFC 2920): commands need not wait for each other's replies."""
    chunking: bool = False
    """CHUNKING (RFC 3030), of use with PIPELINING only: nor need the content."""
    copes_with_riders: bool = False
    """Whether its greeting names a server that takes commands behind a content."""

    @classmethod
    def read(cls, extensions: Mapping[str, str], greeting: str = "") -> Self:
        """Make the offer of the greeting and of EHLO's lines (keyword → parameters)."""
        offered = {name.lower(): value for name, value in extensions.items()}
        limit = offered.get("size", "").strip()
        return cls(
            size="size" in offered,
            size_limit_bytes=int(limit) if _is_number(limit) and int(limit) else None,
            eight_bit="8bitmime" in offered,
            utf8="smtputf8" in offered,
            pipelining="pipelining" in offered,
            chunking="chunking" in offered and "pipelining" in offered,
            copes_with_riders=_COPING.search(greeting) is not None,
        )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 20


def refusals(envelope: Envelope, size_bytes: int, offer: Offer) -> dict[str, Reply]:
    """The recipients that this server cannot serve, and why; known without asking."""
    if offer.size_limit_bytes is not None and size_bytes > offer.size_limit_bytes:
        too_large = Reply(
            None,
            "5.3.4",
            f"message too large: it has {size_bytes} bytes, and the server takes "
            f"{offer.size_limit_bytes} at most",
        )
        return dict.fromkeys(envelope.recipients, too_large)
    if offer.utf8:
        return {}
    needs_utf8 = envelope.utf8_headers or not envelope.return_path.isascii()
    return {
        recipient: Reply(
            None,
            "5.6.7",
            "the server does not take non-ASCII addresses (it offers no SMTPUTF8)",
        )
        for recipient in envelope.recipients
        if needs_utf8 or not recipient.isascii()
    }


def mail_command(
    envelope: Envelope, recipients: list[str], content: bytes, offer: Offer
) -> bytes:
    """``MAIL FROM`` with the parameters that this message needs and the server knows.

    What the envelope's own ``mail_options`` say is not said twice.
    """
    options = list(envelope.mail_options)
    said = {option.partition("=")[0].upper() for option in options}
    needs_utf8 = envelope.utf8_headers or not all(
        address.isascii() for address in (envelope.return_path, *recipients)
    )
    if offer.size and "SIZE" not in said:
        options.append(f"SIZE={len(content)}")
    if offer.eight_bit and "BODY" not in said and not content.isascii():
        options.append("BODY=8BITMIME")
    if offer.utf8 and "SMTPUTF8" not in said and needs_utf8:
        options.append("SMTPUTF8")
    return command_line(f"MAIL FROM:<{envelope.return_path}>", *options)


def rcpt_command(envelope: Envelope, recipient: str) -> bytes:
    """``RCPT TO`` with the envelope's ``rcpt_options``."""
    return command_line(f"RCPT TO:<{recipient}>", *envelope.rcpt_options)


def command_line(*words: str) -> bytes:
    """One command without its line end; never more than one.

    Raises `ValueError` on a control character: composing has refused such addresses
    and options long before, so this is the second lock on the same door.
    """
    line = " ".join(words)
    if _CONTROL.search(line):
        raise ValueError(f"a control character in an SMTP command: {line!r}")
    return line.encode()
