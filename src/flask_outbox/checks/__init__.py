"""Checks: finds problems of a message that its readers would see, before it is sent.

- `html`: what an HTML body shows
- `bodies`, `links`, `images`, `clients`, `bulk`: the checks of one subject each
- `findings`: what they find
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..mime.parse import ParsedMessage
from .bodies import check_bodies, check_subject
from .bulk import check_bulk, check_size
from .clients import check_clients
from .findings import Finding, Severity
from .html import VisibleHtml, read_html
from .images import check_images, image_hosts
from .links import Link, find_links

__all__ = ["Checked", "Finding", "Link", "Severity", "check"]

_WORST_FIRST = list(Severity)


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of all checks of one message."""

    findings: tuple[Finding, ...]
    """The problems, the worst first."""
    links: tuple[Link, ...]
    """Every link in it."""
    image_hosts: tuple[str, ...]
    """The hosts that its images would be fetched from."""

    def count(self, severity: Severity) -> int:
        """The number of findings of this severity."""
        return sum(one.severity is severity for one in self.findings)


def check(parsed: ParsedMessage, *, size_bytes: int, tag: str | None = None) -> Checked:
    """Check a message for problems that its readers would see.

    ``size_bytes`` is the size of its source, ``tag`` the tag that it was sent with.
    Nothing is fetched, and no content makes it raise.
    """
    seen = read_html(parsed.html.text) if parsed.html else None
    links = find_links(parsed, seen)
    found = dict.fromkeys(_findings(parsed, seen, links, size_bytes, tag))
    return Checked(
        findings=tuple(sorted(found, key=lambda one: _WORST_FIRST.index(one.severity))),
        links=links,
        image_hosts=image_hosts(seen.images) if seen else (),
    )


def _findings(
    parsed: ParsedMessage,
    seen: VisibleHtml | None,
    links: tuple[Link, ...],
    size_bytes: int,
    tag: str | None,
) -> Iterator[Finding]:
    yield from check_subject(parsed.header("Subject") or "")
    yield from check_bodies(parsed, seen)
    yield from (link.finding for link in links if link.finding)
    if seen is not None:
        yield from check_images(seen.images, parsed.parts)
        yield from check_clients(seen, parsed.parts)
    yield from check_bulk(parsed, tag)
    yield from check_size(size_bytes)
