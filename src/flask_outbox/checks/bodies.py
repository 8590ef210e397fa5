"""Checks of the bodies and the subject: are they there, whole, alike, not too long?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from ..opened import Body, Opened
from .findings import Finding, advice, broken, warning
from .leftovers import escapes, nothings, placeholders
from .outline import Outline

CLIPPED_BYTES = 102 * 1024
"""From here on Gmail shows "[Message clipped]". Google does not say how it counts;
what is counted here is the HTML part as it travels, in its transfer encoding, which is
never less than what others have measured."""

SUBJECT_LENGTH = 70
"""About how much of a subject a list of mails shows on a wide screen."""

ALIKE = 0.5
"""Two bodies say the same where each has at least this share of the other's words."""

ENOUGH_WORDS = 8
"""From so many words on it is told whether two bodies say the same."""

_WORD = re.compile(r"[^\W_]{3,}")
_ADDRESS = re.compile(r"https?://\S+|(?<!\S)\S{1,254}@\S+")
_TAG = re.compile(r"</?(?:p|div|br|a|b|strong|table|html|body|h[1-6])\b[^<>]*>", re.I)


def check_bodies(opened: Opened, seen: Outline | None) -> Iterator[Finding]:
    """What is the matter with the text and the HTML."""
    if opened.too_deep:
        yield broken(
            "Its parts are nested too deeply: readers do not find what it says.",
            "Put the text and the HTML into one multipart, and files beside that.",
        )
    text = opened.text.text.strip() if opened.text else ""
    if _TAG.search(text):
        yield broken(
            "The text part has HTML in it, and shows it as it is written.",
            "Pass HTML as html=, and the same in plain words as body=.",
        )
    yield from _leftovers("The text", text)
    if opened.html is not None and seen is not None:
        yield from _beside_each_other(text, seen)
        yield from _html(opened.html, seen)
        yield from _leftovers("The HTML", seen.text)
    elif not text and not opened.parts:
        yield broken("The mail says nothing.", "Give it a body.")


def _beside_each_other(text: str, seen: Outline) -> Iterator[Finding]:
    if not text:
        yield warning(
            "There is no text part, only HTML.",
            "Pass the same in plain words as body=: for watches, screen readers and "
            "readers of plain text, and because spam filters ask for it.",
        )
        return
    html_words, text_words = _words(seen.text), _words(text)
    if max(len(html_words), len(text_words)) < ENOUGH_WORDS:
        return
    both = len(html_words & text_words)
    if both < ALIKE * len(html_words):
        yield warning(
            f"The text part leaves out much of the HTML: {both} of its "
            f"{len(html_words)} words are there.",
            "Say the same in both: many read the text part alone.",
        )
    elif both < ALIKE * len(text_words):
        yield warning(
            f"The HTML leaves out much of the text part: {both} of its "
            f"{len(text_words)} words are there.",
            "Say the same in both: most read the HTML alone.",
        )


def _words(text: str) -> set[str]:
    return set(_WORD.findall(_ADDRESS.sub(" ", text).lower()))


def _html(html: Body, seen: Outline) -> Iterator[Finding]:
    if html.size_bytes > CLIPPED_BYTES:
        yield warning(
            f"The HTML part is {html.size_bytes / 1024:,.0f} KB as it travels "
            f"({html.encoding}): Gmail clips it at 102 KB, with all that follows.",
            "Shorten it, move styles that repeat into classes, or link to the rest.",
        )
    for element in seen.removed:
        yield warning(
            f"<{element}> does nothing in a mail: clients take it out.",
            "Take it out, and link to a page that has it.",
        )
    if seen.remote_style:
        yield warning(
            "The style sheet is elsewhere, and clients do not fetch it.",
            "Put the styles into a <style> element or into the elements themselves.",
        )
    if not seen.text and not seen.images:
        yield broken("The HTML shows nothing.", "Give it text, or leave it out.")
    elif not seen.text:
        yield warning(
            "The HTML is images only: it is blank until the reader loads them.",
            "Write what matters as text.",
        )


_LEFTOVERS: tuple[tuple[Callable[[str], Iterator[str]], str, str], ...] = (
    (
        placeholders,
        "has a placeholder that nothing was put into",
        "Pass the value under this name when the template is rendered.",
    ),
    (
        nothings,
        "has what looks like a value that was missing",
        "Look at what the template was given; say what stands there without it.",
    ),
    (
        escapes,
        "shows a character that was escaped for HTML once too often",
        "Escape only in HTML, and once: render_template_string() and templates that "
        "are named .html escape by themselves.",
    ),
)


def _leftovers(where: str, text: str) -> Iterator[Finding]:
    for look, problem, todo in _LEFTOVERS:
        found = list(dict.fromkeys(look(text)))
        if found:
            more = f" and {len(found) - 1} more" if len(found) > 1 else ""
            yield broken(f"{where} {problem}: {found[0]}{more}.", todo)


def check_subject(subject: str) -> Iterator[Finding]:
    """What is the matter with the subject."""
    if not subject.strip():
        yield broken(
            "There is no subject.",
            "Give it one: it is what the list of mails shows, and spam filters look "
            "for it.",
        )
    elif len(subject) > SUBJECT_LENGTH:
        yield advice(
            f"The subject is {len(subject)} characters long: after about "
            f"{SUBJECT_LENGTH} it is cut off, on phones after about 40.",
            "Begin with what matters.",
        )
    yield from _leftovers("The subject", subject)
