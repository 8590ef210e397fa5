"""Message ids: ULIDs, which sort by time and cannot be guessed."""

from __future__ import annotations

import os
import re
import time

ID_LENGTH = 26
LOWEST, HIGHEST = "0", "Z"
"""The lowest and the highest character that an id may contain."""

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TIME_LENGTH = 10
_is_id = re.compile(f"[{_CROCKFORD}]{{{ID_LENGTH}}}").fullmatch
_PAIRS = [left + right for left in _CROCKFORD for right in _CROCKFORD]

_MILLISECOND = 1 << 80
_STEP = 1 << 61
"""The least difference between two ids; as much again is random."""


_newest = 0
"""The number of this process's newest id."""

_newest_at = 0
"""The same of `new_id_at`."""


def new_id() -> str:
    """A new ULID: 48 bits of milliseconds, then 80 random bits, in 26 characters.

    Ids that are made one after another sort in that order, also in one millisecond.
    Source: the ULID specification, https://github.com/ulid/spec.
    """
    global _newest  # noqa: PLW0603
    _newest = _next_number(_newest, time.time_ns() // 1_000_000)
    return _spelled(_newest)


def new_id_at(at: float) -> str:
    """As `new_id`, for a time in epoch seconds that another clock tells."""
    global _newest_at  # noqa: PLW0603
    _newest_at = _next_number(_newest_at, round(at * 1_000))
    return _spelled(_newest_at)


def _next_number(newest: int, milliseconds: int) -> int:
    random = int.from_bytes(_random())
    number = milliseconds << 80 | random
    if newest - 2 * _MILLISECOND < number < newest + _STEP:
        return newest + _STEP + random % _STEP
    return number


_RANDOM_BYTES, _RANDOM_AT_ONCE = 10, 640
_unused: list[bytes] = []
"""Random bytes for ids to come. Asking the system for more lets other threads run, so
that is not done for each id."""


def _random() -> bytes:
    try:
        return _unused.pop()
    except IndexError:
        more = os.urandom(_RANDOM_AT_ONCE)
        starts = range(_RANDOM_BYTES, _RANDOM_AT_ONCE, _RANDOM_BYTES)
        _unused.extend([more[start : start + _RANDOM_BYTES] for start in starts])
        return more[:_RANDOM_BYTES]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unused.clear)  # the parent will use them


def is_id(text: str) -> bool:
    """Whether ``text`` has the form of a message id."""
    return _is_id(text) is not None


def id_at(at: float) -> str:
    """The lowest id of the millisecond nearest to ``at`` (epoch seconds)."""
    return _spelled(max(round(at * 1_000), 0) << 80)


def time_of(message_id: str) -> float:
    """When an id was made, in epoch seconds, exact to the millisecond."""
    return _number(message_id[:_TIME_LENGTH]) / 1_000


def dated(message_id: str, at: float) -> str:
    """The id as if it had been made at that time."""
    return id_at(at)[:_TIME_LENGTH] + message_id[_TIME_LENGTH:]


def order_of(message_id: str) -> int:
    """A number that grows from one id to the next: its time, and what follows down to
    `_STEP`.
    """
    return _number(message_id) // _STEP


def _number(text: str) -> int:
    number = 0
    for character in text:
        number = number * 32 + _CROCKFORD.index(character)
    return number


def _spelled(number: int) -> str:
    text = ""
    while len(text) < ID_LENGTH:
        text = _PAIRS[number & 1023] + text
        number >>= 10
    return text
