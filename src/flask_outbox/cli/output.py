"""The commands' output: text that any terminal can show, tables, progress, JSON."""

from __future__ import annotations

import json
import logging
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click

from ..log import writes_json


def say(text: str = "") -> None:
    """Print ``text``; characters that the terminal's encoding lacks are escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding))


def say_error(text: str) -> None:
    """Print on standard error why one of several things could not be done."""
    click.echo(f"Error: {text}", err=True)


def print_document(value: Any) -> None:
    """Print ``value`` as one JSON document: times as ISO 8601, states as words."""
    click.echo(json.dumps(value, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return asdict(value)


LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"


@contextmanager
def log_on_stderr(form: str = LOG_FORMAT) -> Iterator[None]:
    """Show our log on standard error, unless the app has decided where it goes."""
    log = logging.getLogger("flask_outbox")
    handler: logging.Handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(form))
    if writes_json():
        handler = logging.NullHandler()
    elif log.hasHandlers():
        yield
        return
    level = log.level
    log.addHandler(handler)
    log.setLevel(level or logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


@contextmanager
def progress(label: str, length: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal; yields what to call with the number of steps
    done since the last call.
    """
    if not sys.stderr.isatty():
        yield lambda step: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield bar.update


@contextmanager
def reading(label: str) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how much was read of what has no known end; yields what to
    call with the number of things read.
    """
    if not sys.stderr.isatty():
        yield lambda number: None
        return
    yield lambda number: click.echo(f"\r{label}: {number:,}", err=True, nl=False)
    click.echo(err=True)


WIDEST, UNKNOWN = 120, 100
"""The most columns used of a terminal, and the width if it is unknown."""

WHOLE, SHORT = 26, 12
"""The longest word that is not broken if there is room: in a cell of one word, such as
an id, and in any other cell.
"""

NARROWEST = 6
"""The least width of a column; on a narrower terminal, lines are longer than it."""

GAP = "  "

Cells = Sequence[str]


def table(headings: Cells, rows: Iterable[Cells], width: int | None = None) -> str:
    """Return the rows under their headings, with the cells wrapped.

    ``width`` is the terminal's by default.
    """
    texts = [[printable(cell) for cell in row] for row in rows]
    widths = _widths([headings, *texts], width or terminal_width())
    rule = ["-" * one for one in widths]
    lines = [*_laid_out(headings, widths), _joined(rule, widths)]
    cells = [_laid_out(row, widths) for row in texts]
    tall = any(len(cell) > 1 for cell in cells)
    for number, cell in enumerate(cells):
        lines += [""] if tall and number else []
        lines += cell
    return "\n".join(lines)


def fields(pairs: Iterable[tuple[str, str]], width: int | None = None) -> str:
    """Return names and values, one pair a line, with the values wrapped."""
    texts = [(name, printable(value)) for name, value in pairs]
    widths = _widths(texts, width or terminal_width())
    return "\n".join(line for row in texts for line in _laid_out(row, widths))


def terminal_width() -> int:
    """The width of tables: that of the terminal, or ``COLUMNS``, up to `WIDEST`."""
    return min(shutil.get_terminal_size((UNKNOWN, 24)).columns, WIDEST)


def printable(text: str) -> str:
    """Return ``text`` on one line, with unprintable characters escaped.

    What servers and senders write must not control the terminal.
    """
    one_line = " ".join(text.split())
    return "".join(char if char.isprintable() else _escaped(char) for char in one_line)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def columns(text: str) -> int:
    """How many columns ``text`` takes on a terminal."""
    return sum(_columns_of(char) for char in text)


def _columns_of(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def wrap(text: str, width: int) -> list[str]:
    """Break ``text`` into lines of at most ``width`` columns, at spaces if possible."""
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if columns(joined) <= width:
            lines[-1] = joined
        else:
            pieces = _pieces(word, width)
            lines = lines + pieces if lines[-1] else pieces
    return lines


def _pieces(word: str, width: int) -> list[str]:
    pieces = [""]
    for char in word:
        if pieces[-1] and columns(pieces[-1] + char) > width:
            pieces.append("")
        pieces[-1] += char
    return pieces


def _widths(rows: Sequence[Cells], available: int) -> list[int]:
    """The columns' widths: what each needs, or its share of the available width."""
    room = available - len(GAP) * (len(rows[0]) - 1)
    by_column = list(zip(*rows, strict=True))
    needed = [max(map(columns, cells)) for cells in by_column]
    least = [max(map(_unbroken, cells)) for cells in by_column]
    if sum(least) > room:
        least = [min(one, NARROWEST) for one in least]
    wanted = [need - low for need, low in zip(needed, least, strict=True)]
    spare = min(max(0, room - sum(least)), sum(wanted))
    return [
        low + (want * spare // sum(wanted) if want else 0)
        for low, want in zip(least, wanted, strict=True)
    ]


def _unbroken(cell: str) -> int:
    if columns(cell) <= SHORT:
        return columns(cell)
    words = [columns(word) for word in cell.split(" ")]
    return min(max(words), WHOLE if len(words) == 1 else SHORT)


def _laid_out(row: Cells, widths: Sequence[int]) -> list[str]:
    """The lines of one row."""
    cells = [wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
    height = max(len(cell) for cell in cells)
    padded = [cell + [""] * (height - len(cell)) for cell in cells]
    return [_joined(line, widths) for line in zip(*padded, strict=True)]


def _joined(cells: Cells, widths: Sequence[int]) -> str:
    padded = (
        cell + " " * (width - columns(cell))
        for cell, width in zip(cells, widths, strict=True)
    )
    return GAP.join(padded).rstrip()
