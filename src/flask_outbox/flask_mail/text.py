"""Flask-Mail's functions on text and addresses, for apps that call them.

The outbox needs none of them: it writes headers itself (`flask_outbox.mime`).
"""

from __future__ import annotations

from collections.abc import Iterable
from email.header import Header
from email.utils import formataddr, parseaddr
from typing import Any

from .errors import FlaskMailUnicodeDecodeError


def force_text(s: Any, encoding: str = "utf-8", errors: str = "strict") -> str:
    """``s`` as a string: bytes decoded, lazy strings and anything else made one.

    Raises `FlaskMailUnicodeDecodeError` for bytes that are none.
    """
    if not isinstance(s, bytes):
        return str(s)
    try:
        return s.decode(encoding, errors)
    except UnicodeDecodeError as error:
        raise FlaskMailUnicodeDecodeError(s, *error.args) from error


def sanitize_subject(subject: str, encoding: str = "utf-8") -> str:
    """``subject`` as it may stand in a header: encoded-words unless it is ASCII."""
    return subject if subject.isascii() else _encoded(subject, encoding)


def sanitize_address(addr: str | tuple[str, str], encoding: str = "utf-8") -> str:
    """An address, or a pair of a name and one, as it may stand in a header."""
    name, spec = addr if isinstance(addr, tuple) else parseaddr(force_text(addr))
    if not spec.isascii():
        local, at, domain = spec.partition("@")
        spec = _encoded(spec, encoding)
        if at:
            local = str(Header(local, encoding))
            spec = f"{local}@{domain.encode('idna').decode('ascii')}"
    return formataddr((_encoded(name, encoding), spec))


def sanitize_addresses(
    addresses: Iterable[str | tuple[str, str]], encoding: str = "utf-8"
) -> list[str]:
    """`sanitize_address` of each."""
    return [sanitize_address(one, encoding) for one in addresses]


def _encoded(text: str, encoding: str) -> str:
    try:
        return Header(text, encoding).encode()
    except UnicodeEncodeError:
        return Header(text, "utf-8").encode()
