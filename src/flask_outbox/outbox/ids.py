"""Identifiers of messages: sortable by time, impossible to guess, easy to copy."""

from __future__ import annotations

import os
import re
import time

ID_LENGTH = 26
LOWEST, HIGHEST = "0", "Z"
"""No character of an id sorts before the one, none after the other."""

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TIME_LENGTH = 10
_is_id = re.compile(f"[{_CROCKFORD}]{{{ID_LENGTH}}}").fullmatch
_PAIRS = [left + right for left in _CROCKFORD for right in _CROCKFORD]


def new_id() -> str:
    """A new ULID: 48 bits of milliseconds, then 80 random bits, in 26 characters.

    Source: the ULID specification, https://github.com/ulid/spec.
    """
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    return _spelled(number)


def is_id(text: str) -> bool:
    """Whether ``text`` is the id of a message, or could be."""
    return _is_id(text) is not None


def id_at(at: float) -> str:
    """The lowest id of the millisecond nearest to ``at`` (epoch seconds)."""
    return _spelled(max(round(at * 1_000), 0) << 80)


def time_of(message_id: str) -> float:
    """When an id was made, in epoch seconds, to the millisecond."""
    milliseconds = 0
    for character in message_id[:_TIME_LENGTH]:
        milliseconds = milliseconds * 32 + _CROCKFORD.index(character)
    return milliseconds / 1_000


def _spelled(number: int) -> str:
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])
