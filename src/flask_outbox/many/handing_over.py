"""To many: rows without end are handed over chunk by chunk, and each exactly once.

A chunk and the number of rows that are kept with it are one commit. So whatever ends a
hand-over, the outbox knows how far it came, and whoever hands over the same rows again
passes over those that are there.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from email.message import Message as StandardMessage
from typing import Any

from ..errors import (
    BatchInterrupted,
    MessageError,
    OutboxError,
    StoreError,
    TransitionRefused,
)
from ..message import Address, Message
from ..outbox.batch_records import BatchReceipt
from ..outbox.batches import Standing
from ..outbox.ledger import Ledger
from ..outbox.records import NewMessage, Receipt

PRIORITY = -100
"""Below that of ``send()``: what a person waits for overtakes what goes to many."""

CHUNK_ROWS = 200
"""Rows that are kept in one commit at most: nobody waits long for the write lock."""

CHUNK_BYTES = 1_000_000
"""Bytes of content that are kept in one commit, of more than one row."""

Composable = Message | StandardMessage
Compose = Callable[[Any], tuple[Composable, NewMessage]]
"""Makes a row a message, and that ready to be kept; raises `MessageError`."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One row of a batch that is in the outbox now."""

    message: Composable
    new: NewMessage
    receipt: Receipt


Told = Callable[[Sequence[Kept], float], object]
"""Called after each commit with what is kept by it, and how many seconds that took."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a batch is: the keyword arguments of ``send_many()`` that say so."""

    name: str
    tag: str | None = None
    key: str | None = None
    resume: str | None = None


class HandOver:
    """One hand-over of a batch, from the first row that is not kept to the last.

    ``compose`` makes a row a message, ``whom`` says to whom a row goes without making
    it one, and ``told`` is called after each commit.
    """

    def __init__(
        self,
        ledger: Ledger,
        compose: Compose,
        whom: Callable[[Any], Iterable[str]],
        told: Told,
    ) -> None:
        self._ledger = ledger
        self._compose = compose
        self._whom = whom
        self._told = told
        self._row = 0
        self._chunk: list[tuple[Composable, NewMessage]] = []
        self._chunk_bytes = 0
        self._digest = ""

    def run(self, rows: Iterable[Any], plan: Plan) -> BatchReceipt:
        """Keep every row; the number of all is known where ``rows`` has a length.

        Raises `BatchInterrupted` with the number of the row at fault; the rows before
        it are kept. Raises `MessageError` for rows that are not those of the batch that
        is resumed, `TransitionRefused` for one that was cancelled meanwhile, and
        `BatchNotFound`.
        """
        self._standing = self._open(plan, _length(rows))
        if self._standing.ended:
            return BatchReceipt(self._standing.id, self._standing.kept, duplicate=True)
        numbered = iter(rows)
        try:
            self._pass_over(numbered)
            self._add_all(numbered)
            self._ledger.end(self._standing.id)
        except (TransitionRefused, _OtherRows):
            raise
        except Exception as error:
            raise self._interrupted(error) from error
        except BaseException as error:
            self._write_down("It was told to end.")
            error.add_note(
                f"{self._kept_so_far()} To go on, resume batch {self._standing.id}."
            )
            raise
        return BatchReceipt(self._standing.id, self._standing.kept)

    def _open(self, plan: Plan, total: int | None) -> Standing:
        if plan.resume is None:
            present = self._ledger.begin(plan.name, plan.tag, plan.key, total)
        standing = self._ledger.go_on(plan.resume or present.id, total)
        if standing.name != plan.name:
            raise MessageError(
                "resume" if plan.resume else "key",
                f"batch {standing.id} is {standing.name!r}, and not {plan.name!r}.",
            )
        return standing

    def _pass_over(self, rows: Iterator[Any]) -> None:
        """Pass over the rows that are kept; see that they are the same rows."""
        while self._row < self._standing.kept:
            try:
                row = next(rows)
            except StopIteration:
                break
            self._row += 1
            self._digest = self._digest_with(row)
        if self._digest != self._standing.digest:
            raise _OtherRows(self._standing, self._row)

    def _add_all(self, rows: Iterator[Any]) -> None:
        while True:
            self._row += 1
            try:
                row = next(rows)
            except StopIteration:
                break
            self._add(row)
        self._keep()

    def _add(self, row: Any) -> None:
        message, new = self._compose(row)
        numbered = replace(new, batch=self._standing.id, batch_row=self._row)
        size_bytes = len(new.content) + len(new.template or "")
        full = len(self._chunk) == CHUNK_ROWS
        if full or self._chunk_bytes + size_bytes > CHUNK_BYTES:
            self._keep()
        self._digest = self._digest_with(row)
        self._chunk.append((message, numbered))
        self._chunk_bytes += size_bytes

    def _keep(self) -> None:
        """Keep what has gathered, in one commit."""
        chunk, self._chunk, self._chunk_bytes = self._chunk, [], 0
        if not chunk:
            return
        new = [one for _, one in chunk]
        began = time.perf_counter()
        receipts = self._ledger.keep(self._standing, new, self._digest)
        seconds = time.perf_counter() - began
        kept = self._standing.kept + len(chunk)
        self._standing = replace(self._standing, kept=kept, digest=self._digest)
        pairs = zip(chunk, receipts, strict=True)
        self._told([Kept(*one, receipt) for one, receipt in pairs], seconds)

    def _digest_with(self, row: Any) -> str:
        """A digest of to whom the rows go until and with this one."""
        text = "\n".join([self._digest, *self._whom(row)])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def _interrupted(self, error: Exception) -> BatchInterrupted:
        """Keep the rows before the one at fault, and say how it can go on."""
        row = self._row
        if isinstance(error, StoreError):
            row = self._standing.kept + 1
        else:
            with suppress(StoreError):
                self._keep()
        kept = self._standing.kept
        problem = f"Row {row:,}: {_in_words(error)}"
        self._write_down(problem)
        return BatchInterrupted(
            f"{problem} {self._kept_so_far()}", self._standing.id, row, kept
        )

    def _kept_so_far(self) -> str:
        kept = self._standing.kept
        rows = {0: "No row is", 1: "The first row is"}
        first = rows.get(kept, f"The first {kept:,} rows are")
        return f"{first} kept in batch {self._standing.id}."

    def _write_down(self, problem: str) -> None:
        """As far as the database can be reached: without it the rest holds as well."""
        with suppress(StoreError):
            self._ledger.interrupt(self._standing.id, problem)


class _OtherRows(MessageError):
    """The rows are not those of which the batch has the first."""

    def __init__(self, standing: Standing, rows: int) -> None:
        few = f"there are only {rows:,}" if rows < standing.kept else "these are others"
        super().__init__(
            "rows",
            f"batch {standing.id} has kept {standing.kept:,} rows, and {few}. "
            "To go on it needs the same rows in the same order, of which only what "
            "comes after those may have changed. Nothing was handed over.",
        )


def _in_words(error: Exception) -> str:
    if isinstance(error, OutboxError):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error}"
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _length(rows: Iterable[Any]) -> int | None:
    try:
        return len(rows)  # type: ignore[arg-type]
    except TypeError:
        return None


def whom(message: Composable) -> list[str]:
    """To whom a message goes, as far as that can be told without composing it."""
    if isinstance(message, StandardMessage):
        names = ("to", "cc", "bcc")
        return [str(one) for name in names for one in message.get_all(name, [])]
    everyone = [*message.recipients, *message.cc, *message.bcc]
    return [Address.parse(one, "recipients").spec for one in everyone]
