"""Checks of the bodies and the subject: are they there, complete, alike and not too
long?

Also finds placeholders that were not filled in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote

from ..mime.parse import Body, ParsedMessage
from .findings import Finding, advice, broken, warning
from .html import VisibleHtml

_PLACEHOLDER = re.compile(
    r"\{\{.{0,80}?\}\}"  # Jinja
    r"|\{%.{0,80}?%\}"
    r"|\$\{\w[^{}\n]{0,40}\}"
    r"|(?<![\w$}])\{[a-z_][\w.]{0,40}\}"  # str.format
    r"|%\([a-z_]\w{0,40}\)[sd]",  # gettext and %
    re.IGNORECASE,
)
_NOTHING = re.compile(r"\b[^\W\d_]{1,40},? None\b(?! of\b)")
_NOTHING_IN_LINK = re.compile(r"[/=]None(?=[/?&#.]|$)")
_OBJECT = re.compile(
    r"<(?:function|built-in|bound method|class|module|property) [^<>\n]{1,60}>?"
    r"|<[\w.]+ object at 0x[0-9a-f]+>",
    re.IGNORECASE,
)
_ESCAPED = re.compile(r"&(?:amp|lt|gt|quot|nbsp|apos|#\d{2,5}|#x[0-9a-f]{2,4});", re.I)


def placeholders(text: str) -> Iterator[str]:
    """Unfilled placeholders: ``{{ name }}``, ``{name}``, ``%(name)s``."""
    for found in _PLACEHOLDER.finditer(text):
        yield found[0]


def missing_in_link(target: str) -> str | None:
    """An unfilled placeholder or missing value in a link, percent-encoded or not."""
    nothing = _NOTHING_IN_LINK.search(target)
    return next(placeholders(unquote(target)), nothing and nothing[0])


def missing_values(text: str) -> Iterator[str]:
    """Values that are missing or not text: ``Dear None``, ``<Order object …>``."""
    for pattern in (_NOTHING, _OBJECT):
        for found in pattern.finditer(text):
            yield found[0]


def escapes(text: str) -> Iterator[str]:
    """HTML escapes in plain text: ``&#39;``."""
    for found in _ESCAPED.finditer(text):
        yield found[0]


CLIPPED_BYTES = 102 * 1024
"""The size from which Gmail shows "[Message clipped]". Google does not document how
it counts. Here the HTML part is counted in its transfer encoding, which is never less
than what others have measured.
"""

SUBJECT_LENGTH = 70
"""Roughly the number of characters of a subject that a wide screen shows in a list."""

ALIKE = 0.5
"""Two bodies are alike if each has at least this share of the other's words."""

ENOUGH_WORDS = 8
"""Bodies with fewer words are not compared."""

_WORD = re.compile(r"[^\W_]{3,}")
_ADDRESS = re.compile(r"https?://\S+|(?<!\S)\S{1,254}@\S+")
_TAG = re.compile(r"</?(?:p|div|br|a|b|strong|table|html|body|h[1-6])\b[^<>]*>", re.I)


def check_bodies(parsed: ParsedMessage, seen: VisibleHtml | None) -> Iterator[Finding]:
    """Check the text and the HTML, alone and against each other."""
    if parsed.too_deep:
        yield broken(
            "Its parts are nested too deeply: mail clients may not find the text.",
            "Put the text and the HTML into one multipart/alternative, and the "
            "attachments beside it.",
        )
    text = parsed.text.text.strip() if parsed.text else ""
    if _TAG.search(text):
        yield broken(
            "The text part contains HTML tags, which readers see as they are.",
            "Pass the HTML as html=, and the same as plain text as body=.",
        )
    yield from _check_placeholders("The text", text)
    if parsed.html is not None and seen is not None:
        yield from _compare(text, seen)
        yield from _html(parsed.html, seen)
        yield from _check_placeholders("The HTML", seen.text)
    elif not text and not parsed.parts:
        yield broken("The mail is empty.", "Give it a body.")


def _compare(text: str, seen: VisibleHtml) -> Iterator[Finding]:
    if not text:
        yield warning(
            "There is no text part, only HTML.",
            "Pass the same as plain text as body=: for watches, screen readers and "
            "text-only clients, and because spam filters expect it.",
        )
        return
    html_words, text_words = _words(seen.text), _words(text)
    if max(len(html_words), len(text_words)) < ENOUGH_WORDS:
        return
    both = len(html_words & text_words)
    if both < ALIKE * len(html_words):
        yield warning(
            f"The text part lacks much of the HTML: it has {both} of its "
            f"{len(html_words)} words.",
            "Say the same in both: many people read only the text part.",
        )
    elif both < ALIKE * len(text_words):
        yield warning(
            f"The HTML lacks much of the text part: it has {both} of its "
            f"{len(text_words)} words.",
            "Say the same in both: most people read only the HTML.",
        )


def _words(text: str) -> set[str]:
    return set(_WORD.findall(_ADDRESS.sub(" ", text).lower()))


def _html(html: Body, seen: VisibleHtml) -> Iterator[Finding]:
    if html.size_bytes > CLIPPED_BYTES:
        yield warning(
            f"The encoded HTML part is {html.size_bytes / 1024:,.0f} KB "
            f"({html.encoding}): Gmail clips a mail at 102 KB.",
            "Shorten it, move repeated styles into classes, or link to the rest.",
        )
    for element in seen.removed:
        yield warning(
            f"<{element}> has no effect in a mail: clients remove it.",
            "Remove it, and link to a page that has it.",
        )
    if seen.remote_style:
        yield warning(
            "The style sheet is external, and clients do not fetch it.",
            "Put the styles into a <style> element or into the elements themselves.",
        )
    if not seen.text and not seen.images:
        yield broken("The HTML shows nothing.", "Give it text, or remove it.")
    elif not seen.text:
        yield warning(
            "The HTML has only images: it is blank until the reader loads them.",
            "Write what matters as text.",
        )


_PLACEHOLDER_CHECKS: tuple[tuple[Callable[[str], Iterator[str]], str, str], ...] = (
    (
        placeholders,
        "has an unfilled placeholder",
        "Pass a value of this name when the template is rendered.",
    ),
    (
        missing_values,
        "seems to have a missing value",
        "Check the template's context, or give the template a default.",
    ),
    (
        escapes,
        "shows a character that was escaped twice",
        "Escape once, and only in HTML: render_template_string() and templates named "
        ".html escape automatically.",
    ),
)


def _check_placeholders(where: str, text: str) -> Iterator[Finding]:
    for look, problem, todo in _PLACEHOLDER_CHECKS:
        found = list(dict.fromkeys(look(text)))
        if found:
            more = f" and {len(found) - 1} more" if len(found) > 1 else ""
            yield broken(f"{where} {problem}: {found[0]}{more}.", todo)


def check_subject(subject: str) -> Iterator[Finding]:
    """Check that the subject is there, filled in, and not too long."""
    if not subject.strip():
        yield broken(
            "There is no subject.",
            "Give it one: lists of mails show it, and spam filters look for it.",
        )
    elif len(subject) > SUBJECT_LENGTH:
        yield advice(
            f"The subject is {len(subject)} characters long: clients show about "
            f"{SUBJECT_LENGTH}, phones about 40.",
            "Put what matters first.",
        )
    yield from _check_placeholders("The subject", subject)
