"""Checks of bulk mail and size: can people unsubscribe and reply, is it too large?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.utils import getaddresses

from ..mime.parse import ParsedMessage
from .findings import Finding, advice, broken, warning

SEEN_BY_ALL = 10
"""From this number on, people in To and Cc probably do not all know each other."""

LARGEST_BYTES = 25 * 1024 * 1024
"""The largest mail that Gmail accepts; others accept less."""

_BULK_TAG = re.compile(
    r"(?:^|[^a-z])(?:bulk|campaign|digest|marketing|newsletter|promo(?:tion)?)s?"
    r"(?:[^a-z]|$)",
    re.IGNORECASE,
)
_NOBODY = re.compile(r"(?:no|do[-_.]?not)[-_.]?reply", re.IGNORECASE)
_PUBLIC_LINK = re.compile(
    r"<(?:https://|http://(?:localhost|127\.0\.0\.1|\[::1\])[:/])", re.IGNORECASE
)
"""An address that accepts a POST. One on this machine comes from an app in development,
and will begin with ``https`` in production."""
_ONE_CLICK = "list-unsubscribe=one-click"


def check_bulk(parsed: ParsedMessage, tag: str | None) -> Iterator[Finding]:
    """Check whether recipients see each other, can answer, and can unsubscribe."""
    seen = _people(parsed, "To", "Cc")
    if len(seen) >= SEEN_BY_ALL:
        yield warning(
            f"{len(seen)} people see each other's addresses (To, Cc).",
            "Send a separate mail to each, or use bcc.",
        )
    if _is_bulk(parsed, tag):
        yield from _check_unsubscribe(parsed)
    sender = next(iter(_people(parsed, "From")), "")
    if _NOBODY.match(sender) and not parsed.header("Reply-To"):
        yield advice(
            f"Replies go to {sender}, where nobody reads them.",
            "Set reply_to to an address that somebody reads.",
        )


def check_size(size_bytes: int) -> Iterator[Finding]:
    """Check whether the message is too large for most mail servers."""
    if size_bytes > LARGEST_BYTES:
        yield broken(
            f"It is {size_bytes / 1024 / 1024:,.0f} MB: Gmail accepts 25 MB, many "
            "others less.",
            "Link to the files instead of attaching them.",
        )


def _people(parsed: ParsedMessage, *names: str) -> list[str]:
    wanted = {name.lower() for name in names}
    values = [value for name, value in parsed.headers if name.lower() in wanted]
    return [address for _, address in getaddresses(values) if address]


def _is_bulk(parsed: ParsedMessage, tag: str | None) -> bool:
    """Whether its headers or its tag mark it as bulk mail."""
    precedence = (parsed.header("Precedence") or "").strip().lower()
    return (
        precedence in ("bulk", "list")
        or any(name.lower().startswith("list-") for name, _ in parsed.headers)
        or (tag is not None and _BULK_TAG.search(tag) is not None)
    )


def _check_unsubscribe(parsed: ParsedMessage) -> Iterator[Finding]:
    """Check whether one click unsubscribes (RFC 8058)."""
    places = parsed.header("List-Unsubscribe") or ""
    one_click = parsed.header("List-Unsubscribe-Post") or ""
    if not places.strip():
        yield broken(
            "It is bulk mail without List-Unsubscribe, which Gmail and Yahoo require.",
            "Send it with unsubscribe=True, or with your own extra_headers: "
            "List-Unsubscribe: <https://…> and "
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click (RFC 8058).",
        )
    elif not _PUBLIC_LINK.search(places):
        yield warning(
            "List-Unsubscribe has no https:// address, so one click cannot "
            "unsubscribe.",
            "Add <https://…>, a page that accepts a POST (RFC 8058).",
        )
    elif one_click.replace(" ", "").lower() != _ONE_CLICK:
        yield warning(
            "List-Unsubscribe-Post does not allow one click to unsubscribe.",
            "Add List-Unsubscribe-Post: List-Unsubscribe=One-Click (RFC 8058).",
        )
