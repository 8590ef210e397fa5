"""Lanes as the commands show them."""

from __future__ import annotations

from collections.abc import Sequence

from ..standing import Standing
from ..words import clock
from .table import printable, table


def lanes_shown(lanes: Sequence[Standing]) -> str:
    """The lanes for people, and below them why which of them is paused."""
    headings = ("Lane", "Leaves by", "Rate", "Waiting", "Is")
    rows = table(headings, [_row(one) for one in lanes])
    return "\n".join([rows, *(_why(one) for one in lanes if one.paused_by)])


def _row(one: Standing) -> tuple[str, ...]:
    place, rate = one.leaves_by or "nothing", one.rate or "no limit"
    state = "paused" if one.paused_by else "open"
    return one.name, place, rate, f"{one.waiting:,}", state


def _why(one: Standing) -> str:
    if one.until is not None:
        why = f"Lane {one.name} is down, next probe {clock(one.until)}: {one.reason}"
    else:
        why = f"Lane {one.name} was paused by a person"
        why += f": {one.reason}" if one.reason else "."
    return printable(why)
