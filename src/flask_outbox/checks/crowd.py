"""Checks of mail to many: can they leave and answer, do they see each other?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.utils import getaddresses

from ..opened import Opened
from .findings import Finding, advice, broken, warning

SEEN_BY_ALL = 10
"""From so many on, people in To and Cc hardly all know each other."""

LARGEST_BYTES = 25 * 1024 * 1024
"""What Gmail takes at most; others take less."""

_BULK_TAG = re.compile(
    r"(?:^|[^a-z])(?:bulk|campaign|digest|marketing|newsletter|promo(?:tion)?)s?"
    r"(?:[^a-z]|$)",
    re.IGNORECASE,
)
_NOBODY = re.compile(r"(?:no|do[-_.]?not)[-_.]?reply", re.IGNORECASE)
_LEADS_OUT = re.compile(
    r"<(?:https://|http://(?:localhost|127\.0\.0\.1|\[::1\])[:/])", re.IGNORECASE
)
"""An address that takes a POST: what leads to this very machine is written by an app
that is being developed, and will begin with ``https`` elsewhere."""
_ONE_CLICK = "list-unsubscribe=one-click"


def check_crowd(opened: Opened, tag: str | None) -> Iterator[Finding]:
    """What is the matter with whom it goes to, and how they can answer and leave."""
    seen = _people(opened, "To", "Cc")
    if len(seen) >= SEEN_BY_ALL:
        yield warning(
            f"{len(seen)} people see each other's addresses (To, Cc).",
            "Send each a mail of their own, or use bcc.",
        )
    if _is_bulk(opened, tag):
        yield from _leaving(opened)
    sender = next(iter(_people(opened, "From")), "")
    if _NOBODY.match(sender) and not opened.header("Reply-To"):
        yield advice(
            f"Answers go to {sender}, where nobody reads them.",
            "Name someone who does as reply_to.",
        )


def check_size(size_bytes: int) -> Iterator[Finding]:
    """Whether it is too large for the mail servers of most."""
    if size_bytes > LARGEST_BYTES:
        yield broken(
            f"It is {size_bytes / 1024 / 1024:,.0f} MB: Gmail takes 25 MB, many others "
            "less.",
            "Link to the files instead of attaching them.",
        )


def _people(opened: Opened, *names: str) -> list[str]:
    wanted = {name.lower() for name in names}
    values = [value for name, value in opened.headers if name.lower() in wanted]
    return [address for _, address in getaddresses(values) if address]


def _is_bulk(opened: Opened, tag: str | None) -> bool:
    """Whether it says of itself that it goes to many."""
    precedence = (opened.header("Precedence") or "").strip().lower()
    return (
        precedence in ("bulk", "list")
        or any(name.lower().startswith("list-") for name, _ in opened.headers)
        or (tag is not None and _BULK_TAG.search(tag) is not None)
    )


def _leaving(opened: Opened) -> Iterator[Finding]:
    """Whether whoever gets bulk mail can end it with one click (RFC 8058)."""
    places = opened.header("List-Unsubscribe") or ""
    one_click = opened.header("List-Unsubscribe-Post") or ""
    if not places.strip():
        yield broken(
            "It is bulk mail without List-Unsubscribe: Gmail and Yahoo ask for it and "
            "refuse without it.",
            "Send it with unsubscribe=True, or with extra_headers of your own: "
            "List-Unsubscribe: <https://…> and "
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click (RFC 8058).",
        )
    elif not _LEADS_OUT.search(places):
        yield warning(
            "List-Unsubscribe has no https:// address, so that nobody can leave with "
            "one click.",
            "Add <https://…>, a page that takes a POST (RFC 8058).",
        )
    elif one_click.replace(" ", "").lower() != _ONE_CLICK:
        yield warning(
            "List-Unsubscribe-Post does not say that one click is enough to leave.",
            "Add List-Unsubscribe-Post: List-Unsubscribe=One-Click (RFC 8058).",
        )
