"""Spreadsheets: cells of a CSV file that a spreadsheet does not take for formulas."""

from __future__ import annotations

FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""Whatever begins so is run: people and servers write what they like."""

_TEXT = "'"
"""What makes text of a cell."""


def guarded(cell: object) -> str:
    """``cell`` as text: `unguarded` gives back just what it was."""
    text = str(cell)
    return f"{_TEXT}{text}" if text.startswith((*FORMULAS, _TEXT)) else text


def unguarded(text: str) -> str:
    """What a cell was before it was `guarded`."""
    rest = text.removeprefix(_TEXT)
    return rest if rest.startswith((*FORMULAS, _TEXT)) else text
