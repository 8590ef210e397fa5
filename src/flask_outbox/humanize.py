"""Times, durations, amounts and CSV, written for people to read."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import datetime

from .phrases import Phrase, phrase

MINUTE, HOUR, DAY = 60, 3_600, 86_400


def clock(at: datetime) -> str:
    """A time to the second: ``2026-02-14 09:30:05 UTC``."""
    return at.strftime("%Y-%m-%d %H:%M:%S %Z")


def duration(seconds: float) -> Phrase:
    """A length of time: ``3.2 ms``, ``12.3 s``, ``4 min 12 s``, ``3 d 4 h``."""
    sign, length = "-" if seconds < 0 else "", float(abs(seconds))
    if length < 1:
        return phrase("%(sign)s%(number)s ms", sign=sign, number=length * 1000)
    whole = round(length)
    if whole < MINUTE:
        return phrase("%(sign)s%(number)s s", sign=sign, number=length)
    if whole < HOUR:
        return phrase(
            "%(sign)s%(minutes)s min %(seconds)s s",
            sign=sign,
            minutes=whole // MINUTE,
            seconds=whole % MINUTE,
        )
    if whole < DAY:
        return phrase(
            "%(sign)s%(hours)s h %(minutes)s min",
            sign=sign,
            hours=whole // HOUR,
            minutes=whole % HOUR // MINUTE,
        )
    return phrase(
        "%(sign)s%(days)s d %(hours)s h",
        sign=sign,
        days=whole // DAY,
        hours=whole % DAY // HOUR,
    )


def milliseconds(seconds: float) -> Phrase:
    """A length of time, however long: ``1,234.5 ms``."""
    return phrase("%(number)s ms", number=seconds * 1000)


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


def csv_lines(rows: Iterable[Iterable[object]]) -> str:
    """These rows as lines of CSV, each cell of them `guarded`."""
    lines = io.StringIO(newline="")
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerows(map(guarded, cells) for cells in rows)
    return lines.getvalue()


def unguarded(text: str) -> str:
    """The cell before it was `guarded`."""
    rest = text.removeprefix(_TEXT)
    return rest if rest.startswith((*FORMULAS, _TEXT)) else text
