"""Regular expressions: none takes more than linear time, whatever it is fed.

Time is compared with time in the same run, on texts of which one is sixteen times as
long. What takes sixteen times as long is linear, what takes 256 times is not.
"""

from __future__ import annotations

import importlib
import itertools
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask_babel import Babel

import flask_outbox
from flask_outbox import TemplateError
from flask_outbox.checks import check
from flask_outbox.dashboard.mail_view import sanitized_html
from flask_outbox.mime.parse import parse_message
from flask_outbox.templating.html import has_styles, inlined
from flask_outbox.templating.loader import locale_of
from flask_outbox.templating.mjml import MjmlError, compiled
from flask_outbox.templating.templates import text_of

SMALL, LARGE = 50, 500
TIMES = 16
AT_MOST = 80
"""Times as long, for sixteen times as much: far from either."""

CLEARLY_LINEAR_SECONDS = 0.001
"""What reads 8,000 characters in less does not look at each of them 8,000 times."""

UNITS = (
    *"[](){}<>&%$@=?:;,.-_/\\\"' \t\r\naA0h",
    "[](", "[](a", "[a](", "[a](a[", "[ ", "a.", "a-", "a@", "a,", "1.", "a b", "; a",
    '; a="',
    "{{", "{%", "%(", "${", "${a", "<a ", "<a.", "<p ", "<link ", "<link", "<class ",
    "<a object at 0x", "&#1", "&#x", "http://", "a://", "/None", "aa None ", "=?",
    "=?a?b?", "=?a?q?a", '"a" ', "\\\\a", "xlink:href", " href", "cid:", "2.1.1",
    "\r\n ",
    "Date: ", "Date: \r\n ", "[Errno 1", "do-not", "a1.", "a1-",
)  # fmt: skip
ENDS = ("", "\x00")

IMPORTED_ELSEWHERE = ("__main__", "migrations.env")
"""Modules that do something when they are imported."""


def patterns() -> Iterator[tuple[str, Callable[[Any], object], bool]]:
    """Each pattern of the package as it is used, and whether it reads bytes.

    One that is kept whole is taken to look everywhere in a text. What several modules
    use comes once.
    """
    known: set[object] = set()
    for found in pkgutil.walk_packages(flask_outbox.__path__, "flask_outbox."):
        if found.name.endswith(IMPORTED_ELSEWHERE):
            continue
        module = importlib.import_module(found.name)
        for name, value in vars(module).items():
            is_method = type(value).__name__ == "builtin_function_or_method"
            pattern = value.__self__ if is_method else value
            if not isinstance(pattern, re.Pattern) or value in known:
                continue
            known.add(value)
            work = value if is_method else _everywhere(value)
            yield f"{found.name}.{name}", work, _of_bytes(pattern)


def _everywhere(pattern: re.Pattern[Any]) -> Callable[[Any], object]:
    return lambda text: sum(1 for _ in pattern.finditer(text))


def _of_bytes(pattern: re.Pattern[Any]) -> bool:
    return isinstance(pattern.pattern, bytes)


def seconds(work: Callable[[Any], object], given: Any) -> float:
    """The least of this thread's own time that it took in a few tries."""
    taken = []
    for _ in range(3):
        began = time.thread_time()
        work(given)
        taken.append(time.thread_time() - began)
    return min(taken)


def repeated(unit: str, length: int) -> str:
    return (unit * (length // len(unit) + 1))[:length]


def slow(work: Callable[[Any], object], make: Callable[[int], Any]) -> bool:
    """Whether it takes more than linear time; a small text is tried first."""
    for size in (SMALL, LARGE):
        given = make(TIMES * size)
        began = time.thread_time()
        work(given)
        if time.thread_time() - began < CLEARLY_LINEAR_SECONDS:
            continue
        if all(  # a machine that stumbles does so in one of three
            seconds(work, given) > max(seconds(work, make(size)), 1e-5) * AT_MOST
            for _ in range(3)
        ):
            return True
    return False


PATTERNS = sorted(patterns(), key=lambda one: one[0])


def test_every_pattern_of_the_package_is_tested() -> None:
    assert len(PATTERNS) > 40
    assert "flask_outbox.templating.templates._named_by_itself" in [
        one[0] for one in PATTERNS
    ]


@pytest.mark.parametrize(
    "pattern",
    [r"\[(\S+)\]\(\1\)", r"[ \t]+$", r"<link\b[^>]*>", r"\[\]\((\S+?)\)"],
)
def test_a_pattern_that_is_not_linear_is_detected(pattern: str) -> None:
    work = _everywhere(re.compile(pattern))
    found = []
    for unit in ("[", " ", "<link ", "[]("):

        def make(size: int, unit: str = unit) -> str:
            return repeated(unit, size) + "!"

        found.append(slow(work, make))
    assert any(found)


def test_each_pattern_takes_linear_time(subtests: pytest.Subtests) -> None:
    for name, work, of_bytes in PATTERNS:
        with subtests.test(pattern=name):
            assert slow_texts(work, of_bytes=of_bytes) == []


def slow_texts(
    work: Callable[[Any], object], *, of_bytes: bool
) -> list[tuple[str, str]]:
    """The units, with their ends, that take ``work`` more than linear time."""

    def is_slow(unit: str, end: str) -> bool:
        def make(size: int) -> Any:
            text = repeated(unit, size) + end
            return text.encode() if of_bytes else text

        return slow(work, make)

    return [one for one in itertools.product(UNITS, ENDS) if is_slow(*one)]


# -------------------------------------------------------- what is made of the patterns

PIECES = (
    "[", "[](", "[a](", "<", "<a ", "<a href=x>", "<a href=''></a>", "<div>",
    "<table><tr><td>", "</a>", "<!", "<![", "<!--", "<?", "&", "&#", "<a href='",
    "<li>",
    "<style>", "<script>", "a ", "   ", "<pre>   ", "<p>x", "<title>", "</", "<link ",
    "<link rel=stylesheet href=x>", "<b></b>", "<a href=''/>", "<!-- -->",
    "<p style='background:position:'>",
)  # fmt: skip


def read_as_mail(html: str) -> object:
    """All that the dashboard and ``flask outbox check`` make of a mail."""
    content = f"Subject: {html[:900]}\r\nContent-Type: text/html\r\n\r\n{html}"
    opened = parse_message(content.encode())
    return sanitized_html(opened), check(opened, size_bytes=len(content), tag=None)


def styled(html: str) -> object:
    return has_styles(html) and inlined(html)


def compiled_or_refused(mjml: str) -> object:
    """What MJML becomes, or the mistake in it."""
    try:
        return compiled(f"<mjml><mj-body><mj-raw>{mjml}</mj-raw></mj-body></mjml>")
    except MjmlError as error:
        return error.line


@pytest.mark.parametrize("work", [text_of, styled, read_as_mail, compiled_or_refused])
@pytest.mark.parametrize(("before", "after"), [("", ""), ("<pre>", "x")])
def test_any_html_is_parsed_in_linear_time(
    work: Callable[[str], object], before: str, after: str
) -> None:
    def is_slow(piece: str) -> bool:
        return slow(work, lambda size: f"{before}{repeated(piece, size)}{after}")

    with Flask("reading").app_context():
        assert [piece for piece in PIECES if is_slow(piece)] == []


def test_links_are_named_once_in_a_text() -> None:
    for html, text in (
        (
            "<a href='https://a.example/b'>https://a.example/b</a>",
            "https://a.example/b",
        ),
        ("<a href='mailto:a@b.example'>a@b.example</a>", "a@b.example"),
        ("<a href='https://a.example/b'></a>", "https://a.example/b"),
        ("<a href='https://a.example/'>A [b] c</a>", "[A [b] c](https://a.example/)"),
        ("<pre>a   \nb \t</pre>", "a\nb"),
    ):
        assert text_of(html) == f"{text}\n"


def test_a_language_tag_that_is_too_long_is_refused() -> None:
    app = Flask("speaking")
    Babel(app)
    with app.app_context():
        assert locale_of("de-AT") == "de_AT"
        for locale in ("de" * 20, "a_" * 20_000):
            with pytest.raises(TemplateError, match="is not a language") as raised:
                locale_of(locale)
            assert len(str(raised.value)) < 200
