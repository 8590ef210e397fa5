"""Conflicts: a transaction that makes way for another is run again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from .database import Conflict, Database

T = TypeVar("T")

CONFLICTS = 3
"""How often a transaction makes way for another before it is an error: each time it
does, that other one has come to its end."""


def write(database: Database, work: Callable[[Connection], T]) -> T:
    """Run ``work`` in a transaction, again where somebody else was in its way."""
    for _ in range(CONFLICTS):
        try:
            return database.write(work)
        except Conflict:
            continue
    return database.write(work)
