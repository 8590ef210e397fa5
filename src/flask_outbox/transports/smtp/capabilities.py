"""The extensions that a server offers, and the commands and content to send it.

`Offer` is the reply to EHLO. The functions make MAIL and RCPT with their parameters,
and the content with CRLF line ends and dot-stuffing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from ...bounce_address import token_of
from ...delivery import Envelope, Reply

FINAL_DOT = b".\r\n"

_LINE_END = re.compile(rb"\r\n|\r|\n")


def with_crlf(content: bytes) -> bytes:
    """The content with all line ends as CRLF, also at its end.

    No bare CR or LF is ever sent, as these make SMTP smuggling possible (RFC 5321
    section 2.3.8 forbids them). Other content is unchanged.
    """
    lines = content.count(b"\r\n")
    if content.count(b"\n") != lines or content.count(b"\r") != lines:
        content = _LINE_END.sub(b"\r\n", content)
    return content if content.endswith(b"\r\n") or not content else content + b"\r\n"


def dot_stuffed(content: bytes) -> bytes:
    """The content with a dot before each line's first dot (RFC 5321 section 4.5.2)."""
    if content.startswith(b"."):
        content = b"." + content
    return content.replace(b"\n.", b"\n..")


_COPING = re.compile(
    r"\bE?SMTPS?\b.*\b(Postfix|Exim|Sendmail|OpenSMTPD|Nodemailer)\b", re.I | re.S
)
"""Greetings of servers that are known to accept commands sent directly behind content.
The software's name comes after those of the host and the protocol."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Offer:
    """The service extensions of a server, as far as we use them."""

    size: bool = False
    """SIZE (RFC 1870): MAIL may say how large the message is."""
    size_limit_bytes: int | None = None
    """The largest message that the server takes, if it says so."""
    eight_bit: bool = False
    """8BITMIME (RFC 6152)."""
    utf8: bool = False
    """SMTPUTF8 (RFC 6531): addresses need not be ASCII."""
    pipelining: bool = False
    """PIPELINING (RFC 2920): commands need not wait for each other's replies."""
    dsn: bool = False
    """DSN (RFC 3461): reports may be asked for, and say for which mail they are."""
    chunking: bool = False
    """CHUNKING (RFC 3030), used only with PIPELINING: content need not wait either."""
    copes_with_riders: bool = False
    """Whether the greeting names software that takes commands directly behind content.
    """

    @classmethod
    def read(cls, extensions: Mapping[str, str], greeting: str = "") -> Self:
        """The offer in EHLO's lines (keyword → parameters) and in the greeting."""
        offered = {name.lower(): value for name, value in extensions.items()}
        limit = offered.get("size", "").strip()
        return cls(
            size="size" in offered,
            size_limit_bytes=int(limit) if _is_number(limit) and int(limit) else None,
            eight_bit="8bitmime" in offered,
            utf8="smtputf8" in offered,
            pipelining="pipelining" in offered,
            dsn="dsn" in offered,
            chunking="chunking" in offered and "pipelining" in offered,
            copes_with_riders=_COPING.search(greeting) is not None,
        )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 20


def refusals(envelope: Envelope, size_bytes: int, offer: Offer) -> dict[str, Reply]:
    """The recipients that this server cannot serve by its own offer, and why."""
    if offer.size_limit_bytes is not None and size_bytes > offer.size_limit_bytes:
        too_large = Reply(
            None,
            "5.3.4",
            f"message too large: it has {size_bytes} bytes, and the server takes "
            f"{offer.size_limit_bytes} at most",
        )
        return dict.fromkeys(envelope.recipients, too_large)
    if offer.utf8 or not _needs_utf8(envelope, envelope.recipients):
        return {}
    for_all = envelope.utf8_headers or not envelope.return_path.isascii()
    return {
        recipient: Reply(
            None,
            "5.6.7",
            "the server does not take non-ASCII addresses (it offers no SMTPUTF8)",
        )
        for recipient in envelope.recipients
        if for_all or not recipient.isascii()
    }


def _needs_utf8(envelope: Envelope, recipients: Iterable[str]) -> bool:
    """Whether a message needs SMTPUTF8 on its way to these recipients."""
    return (
        envelope.utf8_headers
        or not envelope.return_path.isascii()
        or not all(map(str.isascii, recipients))
    )


def mail_command(
    envelope: Envelope, recipients: Iterable[str], content: bytes, offer: Offer
) -> bytes:
    """``MAIL FROM`` with the parameters that the message needs and the server offers.

    Reports about a message with a token (`bounce_address`) are to return its headers
    only, and the token. Parameters in the envelope's ``mail_options`` are not repeated.
    """
    options = list(envelope.mail_options)
    said = {option.partition("=")[0].upper() for option in options}
    if offer.size and "SIZE" not in said:
        options.append(f"SIZE={len(content)}")
    if offer.eight_bit and "BODY" not in said and not content.isascii():
        options.append("BODY=8BITMIME")
    if offer.utf8 and "SMTPUTF8" not in said and _needs_utf8(envelope, recipients):
        options.append("SMTPUTF8")
    if offer.dsn and (token := token_of(envelope.return_path)):
        wanted = {"RET": "HDRS", "ENVID": token}
        options += [f"{name}={wanted[name]}" for name in wanted if name not in said]
    return command_line(f"MAIL FROM:<{envelope.return_path}>", *options)


def rcpt_command(envelope: Envelope, recipient: str, offer: Offer) -> bytes:
    """``RCPT TO`` with the envelope's ``rcpt_options``.

    If reports come back to us, they are asked for (RFC 3461), unless these options do.
    """
    options = list(envelope.rcpt_options)
    if offer.dsn and token_of(envelope.return_path):
        said = {option.partition("=")[0].upper() for option in options}
        wanted = {"NOTIFY": "FAILURE,DELAY", "ORCPT": _original(recipient)}
        options += [f"{name}={wanted[name]}" for name in wanted if name not in said]
    return command_line(f"RCPT TO:<{recipient}>", *options)


def _original(recipient: str) -> str:
    """The recipient for ORCPT, as RFC 3461 section 4.2 and RFC 6533 section 3 write it.

    Who is not ASCII is mailed by SMTPUTF8 only, so the address stays readable there.
    """
    if recipient.isascii():
        return "rfc822;" + _not_xtext.sub(lambda one: f"+{ord(one[0]):02X}", recipient)
    return "utf-8;" + _not_unitext.sub(
        lambda one: f"\\x{{{ord(one[0]):02X}}}", recipient
    )


_not_xtext = re.compile(r"[^!-*,-<>-~]")
_not_unitext = re.compile(r"[\x00-\x20+=\\\x7f]")


def command_line(*words: str) -> bytes:
    """One command, without its line end.

    Raises `ValueError` for a control character, which could start another command.
    Composing refuses such addresses and options before; this is a second check.
    """
    line = " ".join(words)
    if _CONTROL.search(line):
        raise ValueError(f"a control character in an SMTP command: {line!r}")
    return line.encode()
