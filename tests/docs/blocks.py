"""The code blocks of the documentation's pages, as a reader copies them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

from tests.processes.running import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(
    path.relative_to(DOCS).with_suffix("").as_posix()
    for path in DOCS.rglob("*.rst")
    if "_build" not in path.parts
)
"""The names of all pages, as ``:doc:`` takes them."""

_begins = re.compile(r"^( *)\.\. code-block:: ?(\S*)$")
_option = re.compile(r"^ +:([a-z-]+): ?(.*)$")


@dataclass(frozen=True)
class Block:
    """One block of code."""

    page: str
    line: int
    """Where its directive is."""
    language: str
    options: Mapping[str, str]
    code: str

    def __str__(self) -> str:
        return f"{self.page}.rst:{self.line}"

    @property
    def commands(self) -> list[str]:
        """What is typed, of a block of ``console``."""
        whole = self.code.replace("\\\n", "")
        return [
            line[2:].partition("  #")[0].strip()
            for line in whole.splitlines()
            if line.startswith("$ ")
        ]


def blocks(page: str, language: str | None = None) -> Iterator[Block]:
    """The blocks of that page, in their order."""
    lines = (DOCS / f"{page}.rst").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        begins = _begins.match(line)
        if begins and language in (None, begins[2]):
            options, code = _read(lines[number + 1 :], len(begins[1]))
            yield Block(page, number + 1, begins[2], options, code)


def _read(lines: list[str], margin: int) -> tuple[dict[str, str], str]:
    """The options and the code below a directive with that margin."""
    inside = []
    for line in lines:
        if line.strip() and len(line) - len(line.lstrip()) <= margin:
            break
        inside.append(line)
    options = {}
    while inside and (found := _option.match(inside[0])):
        options[found[1]] = found[2]
        del inside[0]
    return options, dedent("\n".join(inside)).strip("\n") + "\n"


def write_files(page: str, folder: Path) -> None:
    """Write the files that a page shows, each under its caption, into a folder."""
    for block in blocks(page):
        if name := block.options.get("caption"):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code, encoding="utf-8")
