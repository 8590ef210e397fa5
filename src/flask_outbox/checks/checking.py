"""`check`: all checks of one message, the worst first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..opened import Opened
from .bodies import check_bodies, check_subject
from .crowd import check_crowd, check_size
from .findings import Finding, Severity
from .images import check_images, image_hosts
from .links import Link, find_links
from .outline import Outline, outline

_WORST_FIRST = list(Severity)


@dataclass(frozen=True, slots=True)
class Checked:
    """What the checks say of one message."""

    findings: tuple[Finding, ...]
    """What is the matter with it, the worst first."""
    links: tuple[Link, ...]
    """Every link in it."""
    image_hosts: tuple[str, ...]
    """The hosts that its images would be fetched from."""

    def count(self, severity: Severity) -> int:
        """How many findings are as severe as this."""
        return sum(one.severity is severity for one in self.findings)


def check(opened: Opened, *, size_bytes: int, tag: str | None = None) -> Checked:
    """Look for what would go wrong for those who get the message.

    ``size_bytes`` is its size as it travels, ``tag`` the label that it was sent with.
    Nothing is fetched, and no content makes it raise.
    """
    seen = outline(opened.html.text) if opened.html else None
    links = find_links(opened, seen)
    found = dict.fromkeys(_findings(opened, seen, links, size_bytes, tag))
    return Checked(
        findings=tuple(sorted(found, key=lambda one: _WORST_FIRST.index(one.severity))),
        links=links,
        image_hosts=image_hosts(seen.images) if seen else (),
    )


def _findings(
    opened: Opened,
    seen: Outline | None,
    links: tuple[Link, ...],
    size_bytes: int,
    tag: str | None,
) -> Iterator[Finding]:
    yield from check_subject(opened.header("Subject") or "")
    yield from check_bodies(opened, seen)
    yield from (link.finding for link in links if link.finding)
    if seen is not None:
        yield from check_images(seen.images, opened.parts)
    yield from check_crowd(opened, tag)
    yield from check_size(size_bytes)
