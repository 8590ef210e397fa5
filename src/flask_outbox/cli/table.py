"""Tables in plain text: as narrow as the terminal, and nothing cut off."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Iterable, Sequence

WIDEST, UNKNOWN = 120, 100
"""Columns used of a terminal at most, and where nobody says how wide it is."""

WHOLE, SHORT = 26, 12
"""While there is room, a cell of one word, such as an id, is kept whole up to the first
of these lengths; any other cell, and a word inside a longer one, up to the second."""

NARROWEST = 6
"""No column becomes narrower than this; a terminal too narrow for that overflows."""

GAP = "  "

Cells = Sequence[str]


def table(headings: Cells, rows: Iterable[Cells], width: int | None = None) -> str:
    """The rows under their headings, each cell wrapped into its column.

    ``width`` is the terminal's where it is not given.
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
    """Names and values, one pair a line, the values wrapped."""
    texts = [(name, printable(value)) for name, value in pairs]
    widths = _widths(texts, width or terminal_width())
    return "\n".join(line for row in texts for line in _laid_out(row, widths))


def terminal_width() -> int:
    """How wide tables are: as the terminal, or ``COLUMNS``, within reason."""
    return min(shutil.get_terminal_size((UNKNOWN, 24)).columns, WIDEST)


def printable(text: str) -> str:
    """``text`` on one line, with every character that is none to look at escaped.

    What servers and senders say must not steer the terminal.
    """
    one_line = " ".join(text.split())
    return "".join(char if char.isprintable() else _escaped(char) for char in one_line)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def columns(text: str) -> int:
    """How many columns of a terminal ``text`` takes."""
    return sum(_columns_of(char) for char in text)


def _columns_of(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def wrap(text: str, width: int) -> list[str]:
    """``text`` in lines of at most ``width`` columns, broken at spaces if it can be."""
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
    """The columns' widths: what each needs, or else its share of what there is."""
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
    """One row as lines of text."""
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
