"""`PersonStore`: exports and erases what an outbox keeps about a person."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from ...message import AddressLike
from .. import attachments
from ..dialects import enable_busy_timeout
from ..outbox import Outbox
from ..records import PersonErased
from . import erasing
from .exporting import export
from .finding import (
    OTHERS,
    Person,
    Spread,
    mentions_in,
    messages_naming,
    messages_to,
    spreads,
)

REWRITTEN_BYTES = 64 * 1024 * 1024
"""A larger SQLite file is not rewritten: nobody could hand over mail meanwhile."""

LOG_SECONDS = 1.0
"""How long the log is waited for, which nobody may read while it is emptied."""

OnProgress = Callable[[PersonErased], object]
"""Called after each step with what was erased in it."""


T = TypeVar("T")


class PersonStore:
    """What an outbox keeps about people, by their addresses."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._database = outbox.database
        self._write = outbox.database.write_ungrouped

    def export(self, address: AddressLike) -> Iterator[dict[str, Any]]:
        """All records about the person with ``address``, as plain JSON values.

        Read as they are needed, one message at a time. Raises `AddressError`.
        """
        person = Person.of(address)
        return export(self._database.reading, person, self._outbox.guard.erased)

    def erase(
        self,
        address: AddressLike,
        *,
        suppress_by: str | None = None,
        on_progress: OnProgress = lambda step: None,
    ) -> PersonErased:
        """Erase the person with ``address``, in small transactions.

        It may be interrupted: called again, it erases the rest. Their suppressions stay
        as digests; with ``suppress_by``, the source, they have one for all mail. Raises
        `AddressError`, and `ConfigError` if there is no key for a digest.
        """
        person, erased = Person.of(address), self._outbox.guard.erased
        now = self._outbox.clock()
        total = PersonErased()
        for step in self._steps(person, now, suppress_by):
            total += step
            on_progress(step)
        while self._write(attachments.delete_unused):
            continue
        if erased.keys and total.suppressions:
            erased.exist = True
        return total + PersonErased(rewritten=self._rewrite_file())

    def _steps(
        self, person: Person, now: float, suppress_by: str | None
    ) -> Iterator[PersonErased]:
        erased = self._outbox.guard.erased
        yield self._write(
            lambda conn: erasing.keep_suppressions(
                conn, person, erased, now, suppress_by
            )
        )
        blank = partial(erasing.blank_reports, person=person)
        while (step := self._write(blank)).reports:
            yield step
        for spread in spreads(self._database.reading):
            yield from self._erase_messages(person, spread, now)
        yield from self._erase_webhooks(person)
        for table in OTHERS:
            found = mentions_in(self._database.reading, person, table)
            for some in _batched(found):
                yield self._write(
                    partial(erasing.make_nameless, person=person, found=some)
                )

    def _erase_webhooks(self, person: Person) -> Iterator[PersonErased]:
        with self._database.reading() as connection:
            found = erasing.webhooks_about(connection, person)
        for some in _batched(found):
            yield self._write(
                partial(erasing.erase_webhooks, person=person, which=some)
            )

    def _erase_messages(
        self, person: Person, spread: Spread, now: float
    ) -> Iterator[PersonErased]:
        with self._database.reading() as connection:
            found = {
                *messages_to(connection, person, spread),
                *messages_naming(connection, person, spread),
            }
        for some in _batched(sorted(found)):
            yield self._write(
                partial(erasing.erase_messages, person=person, ids=some, now=now)
            )

    def _rewrite_file(self) -> bool | None:
        """Leave no bytes of what was erased in an SQLite file and its log, if it is not
        too large and nobody uses it just now; whether that was done.
        """
        if not self._database.embedded:
            return None
        with self._database.reading() as connection:
            driver: Any = connection.connection.dbapi_connection
            if _size_bytes(driver) > REWRITTEN_BYTES:
                return False
            try:
                driver.execute("VACUUM")
                return _emptied_log(driver)
            except sqlite3.OperationalError:  # it is locked, or the disk is full
                return False
            finally:
                enable_busy_timeout(connection)


def _batched(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """``values``, as many at a time as one transaction erases."""
    for start in range(0, len(values), erasing.AT_ONCE):
        yield values[start : start + erasing.AT_ONCE]


def _size_bytes(driver: sqlite3.Connection) -> int:
    (pages,), (bytes_each,) = (
        driver.execute(f"PRAGMA {name}").fetchone()
        for name in ("page_count", "page_size")
    )
    return int(pages * bytes_each)


def _emptied_log(driver: sqlite3.Connection) -> bool:
    driver.execute(f"PRAGMA busy_timeout = {int(LOG_SECONDS * 1_000)}")
    busy, *_ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy
