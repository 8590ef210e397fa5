"""A table as text, for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import zip_longest

WIDEST = 28
"""Longer cells go on in the next line."""

GAP = "  "


def table(columns: Mapping[str, str], rows: Sequence[Mapping[str, object]]) -> str:
    """The ``rows``, under the headings that ``columns`` gives for their keys."""
    cells = [[_lines(str(row[key])) for key in columns] for row in rows]
    cells.insert(0, [[heading] for heading in columns.values()])
    widths = [max(len(line) for cell in one for line in cell) for one in zip(*cells, strict=True)]
    rule = GAP.join("-" * width for width in widths)
    shown = ["\n".join(_laid_out(row, widths)) for row in cells]
    return "\n".join([shown[0], rule, *shown[1:]])


def _lines(text: str) -> list[str]:
    return textwrap.wrap(text, WIDEST) or [""]


def _laid_out(row: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    return [
        GAP.join(part.ljust(width) for part, width in zip(line, widths, strict=True)).rstrip()
        for line in zip_longest(*row, fillvalue="")
    ]
