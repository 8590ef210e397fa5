"""Identifiers of messages: sortable by time, impossible to guess, easy to copy."""

from __future__ import annotations

import os
import time

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [left + right for left in _CROCKFORD for right in _CROCKFORD]


def new_id() -> str:
    """A new ULID: 48 bits of milliseconds, then 80 random bits, in 26 characters.

    Source: the ULID specification, https://github.com/ulid/spec.
    """
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])
