"""Times, durations, amounts and CSV cells, written for people to read."""

from __future__ import annotations

from datetime import datetime

MINUTE, HOUR, DAY = 60, 3_600, 86_400


def clock(at: datetime) -> str:
    """A time to the second: ``2026-02-14 09:30:05 UTC``."""
    return at.strftime("%Y-%m-%d %H:%M:%S %Z")


def duration(seconds: float) -> str:
    """A length of time: ``3.2 ms``, ``12.3 s``, ``4 min 12 s``, ``3 d 4 h``."""
    sign, length = "-" if seconds < 0 else "", abs(seconds)
    if length < 1:
        return f"{sign}{length * 1000:.1f} ms"
    whole = round(length)
    if whole < MINUTE:
        return f"{sign}{length:.1f} s"
    if whole < HOUR:
        return f"{sign}{whole // MINUTE} min {whole % MINUTE} s"
    if whole < DAY:
        return f"{sign}{whole // HOUR} h {whole % HOUR // MINUTE} min"
    return f"{sign}{whole // DAY} d {whole % DAY // HOUR} h"


def counted(number: int, noun: str) -> str:
    """``1 message``, ``2 messages``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""Spreadsheets run a cell that begins with one of these, whoever wrote it."""

_TEXT = "'"
"""The prefix that makes a spreadsheet show a cell as text."""


def guarded(cell: object) -> str:
    """``cell``, which spreadsheets show as text and do not run; `unguarded` undoes
    it.
    """
    text = str(cell)
    return f"{_TEXT}{text}" if text.startswith((*FORMULAS, _TEXT)) else text


def unguarded(text: str) -> str:
    """The cell before it was `guarded`."""
    rest = text.removeprefix(_TEXT)
    return rest if rest.startswith((*FORMULAS, _TEXT)) else text
