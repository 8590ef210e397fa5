"""Checks of links: where each leads, and its problems."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from ..message.text import shown
from ..mime.parse import ParsedMessage
from .bodies import missing_in_link
from .findings import Finding, Severity, advice, broken, warning
from .html import Anchor, VisibleHtml

_IN_TEXT = re.compile(r"https?://[^\s<>\"']+", re.IGNORECASE)
_AFTER_IT = ".,;:!?)]}'\""
_like_one = re.compile(
    r"(?:https?://)?(?P<host>(?:[a-z0-9-]+\.)+[a-z]{2,})(?:[/?#:]\S*)?", re.IGNORECASE
).fullmatch
_PERSONS = {"mailto", "tel", "sms"}
_SCRIPTS = {"javascript", "vbscript", "data", "file", "blob"}
_HERE = {"localhost", "127.0.0.1", "::1", "0.0.0.0"}  # noqa: S104


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a message: its text, its target and its problem."""

    text: str
    """The text that the reader sees; "" in the text part, which shows the target."""
    target: str
    finding: Finding | None

    @property
    def is_web(self) -> bool:
        """Whether it leads to a web page, including one on this machine."""
        sound = self.finding is None or self.finding.severity is not Severity.BROKEN
        return sound and self.target.lower().startswith(("http://", "https://"))


def find_links(parsed: ParsedMessage, seen: VisibleHtml | None) -> tuple[Link, ...]:
    """The links of the HTML, then those that only the text part has, each once."""
    links = [_judged(one) for one in seen.anchors] if seen else []
    targets = {link.target for link in links}
    if parsed.text is not None:
        for found in _IN_TEXT.findall(parsed.text.text):
            target = found.rstrip(_AFTER_IT)
            if target not in targets:
                targets.add(target)
                links.append(_judged(Anchor("", target)))
    return tuple(dict.fromkeys(links))


def _judged(anchor: Anchor) -> Link:
    return Link(anchor.text, anchor.target, judge(anchor))


def judge(anchor: Anchor) -> Finding | None:
    """The worst problem of a link; None if it has none."""
    named = f"The link {shown(anchor.text)}" if anchor.text else "A link"
    if anchor.target in ("", "#"):
        return broken(f"{named} has no address.", "Give it one, or make it plain text.")
    if left := missing_in_link(anchor.target):
        return broken(
            f"{named} has a missing value: {left}.",
            "Check the template's context.",
        )
    try:
        parts = urlsplit(anchor.target)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return broken(
            f"{named} is not a valid address: {shown(anchor.target)}.",
            "Build it with url_for(..., _external=True).",
        )
    return _elsewhere(named, anchor, parts, host)


def _elsewhere(
    named: str, anchor: Anchor, parts: SplitResult, host: str
) -> Finding | None:
    if parts.scheme in _PERSONS:
        return None if parts.path else broken(f"{named} has no recipient.", "Add one.")
    if parts.scheme in _SCRIPTS:
        return broken(
            f"{named} is a {parts.scheme}: link, which mail clients remove.",
            "Link to a page on the web.",
        )
    if parts.scheme not in ("http", "https"):
        return _without_a_page(named, anchor, parts)
    if not host or re.search(r"\s", anchor.target):
        return broken(
            f"{named} is not a valid address: {shown(anchor.target)}.",
            "Build it with url_for(..., _external=True).",
        )
    return _pretends(named, anchor, host) or _unencrypted(named, parts, host)


def _without_a_page(named: str, anchor: Anchor, parts: SplitResult) -> Finding | None:
    if anchor.target.startswith("#"):
        return None  # an anchor in the mail itself
    if parts.scheme and parts.scheme != "localhost" and "." not in parts.scheme:
        return None  # an app's own scheme, not a host before a port
    return broken(
        f"{named} does not begin with https://: {shown(anchor.target)}. A mail has no "
        "page to resolve it against.",
        "Build it with url_for(..., _external=True).",
    )


def _pretends(named: str, anchor: Anchor, host: str) -> Finding | None:
    address = _like_one(anchor.text)
    if address is None or _same_site(address["host"].lower(), host):
        return None
    return warning(
        f"{named} shows one address and leads to another: {host}.",
        "Show words, or the address that it leads to: to people and filters this looks "
        "like phishing.",
    )


def _same_site(one: str, other: str) -> bool:
    """Whether one of two hosts is the other, or a subdomain of it."""
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")


def _unencrypted(named: str, parts: SplitResult, host: str) -> Finding | None:
    if parts.scheme == "https" or host in _HERE:
        return None
    return advice(
        f"{named} is http://: anyone on the path can read the page.",
        "Use https://; for url_for outside of requests, set PREFERRED_URL_SCHEME.",
    )
