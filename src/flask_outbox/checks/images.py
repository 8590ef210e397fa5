"""Checks of images: do they exist, and what do readers see without them?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import unquote, urlsplit

from ..message.text import shown
from ..mime.parse import Part
from .bodies import missing_in_link
from .findings import Finding, advice, broken, warning
from .html import Image


def check_images(images: Iterable[Image], parts: Iterable[Part]) -> Iterator[Finding]:
    """Check the images of an HTML body."""
    images = tuple(images)
    content_ids = {part.content_id for part in parts}
    for source in dict.fromkeys(image.source for image in images):
        yield from _source(source, content_ids)
    yield from _alternatives(images)
    yield from _remote(images)


def image_hosts(images: Iterable[Image]) -> tuple[str, ...]:
    """The hosts from which images are fetched, each once."""
    hosts = (_host(image.source) for image in images)
    return tuple(dict.fromkeys(host for host in hosts if host))


def _host(source: str) -> str | None:
    """The host from which an image is fetched; None for one inside the mail."""
    try:
        parts = urlsplit(source)
        return parts.hostname if parts.scheme in ("", "http", "https") else None
    except ValueError:
        return None


def _source(source: str, content_ids: set[str | None]) -> Iterator[Finding]:
    scheme, _, rest = source.partition(":")
    scheme = scheme.lower()
    if not source:
        yield broken("An image has no source.", "Give it one, or remove it.")
    elif left := missing_in_link(source):
        yield broken(
            f"An image's source has a missing value: {left}.",
            "Check the template's context.",
        )
    elif scheme == "cid" and unquote(rest) not in content_ids:
        yield broken(
            f"The image {shown(source)} is not attached.",
            f"Attach it with content_id={shown(unquote(rest))}.",
        )
    elif scheme == "data":
        yield warning(
            "An image is embedded in the HTML (data:), which Gmail and Outlook do not "
            "show.",
            "Attach it with a content_id, and refer to it as cid:….",
        )
    elif scheme != "cid" and _host(source) is None:
        yield broken(
            f"The image {shown(source)} cannot be found: its address is relative, but "
            "a mail has no page to resolve it against.",
            "Build it with url_for('static', ..., _external=True), or attach it.",
        )


def _alternatives(images: tuple[Image, ...]) -> Iterator[Finding]:
    without = [image for image in images if image.alt is None]
    if without:
        yield warning(
            f"{_counted(len(without), 'image')} without alt: screen readers say "
            "nothing, and nothing is shown while images are blocked. The first is "
            f"{shown(without[0].source)}.",
            'Describe it with alt="…"; use alt="" for decoration.',
        )


def _remote(images: tuple[Image, ...]) -> Iterator[Finding]:
    number = sum(_host(image.source) is not None for image in images)
    if number:
        yield advice(
            f"{_counted(number, 'image')} from {', '.join(image_hosts(images))}: many "
            "clients fetch images only on request.",
            "Make sure the mail makes sense without them; attach those it needs.",
        )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number > 1 else ''}"
