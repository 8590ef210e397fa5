"""MJML: checked and compiled to HTML, after Jinja has rendered it.

The compiler, mrml, names the place of few mistakes, passes over others, and ends the
process where elements are nested too deeply: these are found before it reads the text.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache
from html.parser import HTMLParser
from importlib import import_module
from typing import NoReturn

from ..errors import ConfigError

ENDING = "mjml"
"""The ending of templates in MJML."""

MOST_NESTED = 100
"""How deep elements may be nested. Where threads have small stacks, mrml's overflows
from some hundreds on.
"""

COMPILED_KEPT = 64
"""How many results are kept: mails without personal values are compiled once."""

_VOID = {
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta",
    "source", "track", "wbr",
}  # fmt: skip
"""Elements of HTML that have no end tag."""

_no_xml = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_quoted = re.compile(r"\"[^\"]*\"|'[^']*'")
_unquoted_value = re.compile(r"=\s*[^\s>\"]")
_left = re.compile(r"<(mj-[a-z-]+)")
_at = re.compile(r" at position (\d+):\d+$")


class MjmlError(Exception):
    """A mistake in MJML: the problem, and its line; None if that is unknown."""

    def __init__(self, problem: str, line: int | None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = line


def need_mrml() -> None:
    """Raise `ConfigError` if mrml is not installed."""
    try:
        import_module("mrml")
    except ImportError:
        raise ConfigError(
            "Templates in MJML need the package mrml: install it with pip install "
            '"flask-outbox[mjml]".'
        ) from None


@lru_cache(COMPILED_KEPT)
def compiled(mjml: str) -> str:
    """The HTML that ``mjml`` stands for. Raises `MjmlError`.

    Nothing is read or fetched for it, and its readers fetch only fonts that it names by
    ``<mj-font>``. Characters that XML does not allow are left out.
    """
    import mrml

    text = _no_xml.sub("", mjml)
    lines = _checked(text)
    try:
        output = mrml.to_html(
            text,
            mrml.ParserOptions(include_loader=mrml.noop_loader()),
            mrml.RenderOptions(fonts={}),
        )
    except OSError as error:
        _raise(str(error), text)
    html = output.content
    if left := _left.search(_without_comments(html)):
        used = lines.get(left[1], [])
        raise MjmlError(
            f"<{left[1]}> is unknown, or may not stand where it does.",
            used[0] if len(used) == 1 else None,
        )
    return html


def _raise(said: str, text: str) -> NoReturn:
    """Raise what mrml ``said``, with the line instead of its position in octets."""
    at = _at.search(said)
    line = None if at is None else text.encode()[: int(at[1])].count(b"\n") + 1
    problem = _at.sub("", said).removesuffix(" in root template")
    raise MjmlError(f"{problem}.", line)


def _without_comments(html: str) -> str:
    return "".join(one.partition("-->")[2] for one in f"-->{html}".split("<!--"))


def _checked(mjml: str) -> dict[str, list[int]]:
    """The lines on which each element begins. Raises `MjmlError`."""
    unclosed = mjml.find("<", mjml.rfind(">") + 1)
    if unclosed >= 0:
        line = mjml.count("\n", 0, unclosed) + 1
        raise MjmlError("a '<' begins no tag: write &lt; for the character.", line)
    reader = _Reader()
    try:
        reader.feed(mjml)
        reader.close()
    except AssertionError:  # a declaration unknown to the parser
        reader.fail("there is a declaration that MJML does not know")
    if reader.open:
        tag, line = reader.open[-1]
        raise MjmlError(f"<{tag}> is never closed.", line)
    return reader.lines


class _Reader(HTMLParser):
    """Follows the nesting of the elements, and stops at the first mistake."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.open: list[tuple[str, int]] = []
        self.lines: defaultdict[str, list[int]] = defaultdict(list)

    def set_cdata_mode(self, elem: str, **_options: bool) -> None:
        """Have scripts and styles read like all else, as mrml does."""

    def fail(self, problem: str) -> NoReturn:
        raise MjmlError(f"{problem}.", self.getpos()[0])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._look_at(tag)
        if tag not in _VOID:
            self.open.append((tag, self.getpos()[0]))
            if len(self.open) > MOST_NESTED:
                self.fail(f"elements are nested more than {MOST_NESTED} deep")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._look_at(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        if not self.open:
            self.fail(f"</{tag}> closes nothing")
        opened, _ = self.open.pop()
        if opened != tag:
            self.fail(f"</{tag}> cannot close <{opened}>, which is still open")

    def handle_data(self, data: str) -> None:
        if "<" in data:
            self.fail("a '<' begins no tag: write &lt; for the character")
        if not self.open and data.strip():
            self.fail("there is text outside of <mjml>")

    def _look_at(self, tag: str) -> None:
        self.lines[tag].append(self.getpos()[0])
        if tag == "mj-include":
            self.fail(
                "<mj-include> reads no files here: write {% include 'mail/….mjml' %}, "
                "which takes them from the template folders"
            )
        if _unquoted_value.search(_quoted.sub('""', self.get_starttag_text() or "")):
            self.fail(f"<{tag}> has an attribute whose value is not in quotes")
