"""Batches: any number of rows, stored chunk by chunk, and each exactly once.

A chunk and the number of rows stored so far are one commit. So the outbox knows how
many rows an interrupted batch has stored, and sending the same rows again skips them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from email.message import Message as StandardMessage
from typing import TYPE_CHECKING, Any

from ..errors import (
    BatchInterrupted,
    MessageError,
    OutboxError,
    StoreError,
    TransitionRefused,
)
from ..humanize import csv_lines
from ..message import Address, AddressLike, Message
from ..message.text import shown

if TYPE_CHECKING:
    from ..outbox import BatchProgress, BatchStore
    from ..outbox.records import Actor, BatchReceipt, Failure, NewMessage, Receipt
    from ..traces import Traces

Row = Mapping[str, Any] | tuple[AddressLike, Mapping[str, Any]]
"""A mapping whose ``to`` is the address, or an address and a mapping."""

TO = "to"


def recipients_of_row(row: Row) -> Iterable[str]:
    """The address that a row goes to, in a list."""
    address, _ = split_row(row)
    return [Address.parse(address, TO).spec]


def split_row(row: Any) -> tuple[AddressLike, Mapping[str, Any]]:
    """A row's address and its context. Raises `MessageError` for what is no row."""
    match row:
        case Mapping():
            if TO not in row:
                names = ", ".join(map(str, row)) or "nothing"
                raise MessageError(TO, f"the row has no {TO!r}, only {names}.")
            return row[TO], row
        case (address, Mapping() as context):
            return address, context
    raise MessageError(
        "rows",
        f"{shown(row)} is not a row: pass a mapping with {TO!r} and the template's "
        "context, or a pair of an address and a context.",
    )


COLUMNS = ("row", "message_id", "address", "state", "reply", "fate")


def failures_csv(failures: Iterable[Failure]) -> Iterator[str]:
    """Its lines, the first of which names the columns."""
    yield csv_lines([COLUMNS])
    for one in failures:
        told = (one.state, one.reply, one.fate or "")
        yield csv_lines([(one.row, one.message_id, one.address, *told)])


PRIORITY = -100
"""Below that of ``send()``: a mail that somebody waits for overtakes bulk mail."""

CHUNK_ROWS = 200
"""The most rows of one commit: nobody waits long for the write lock."""

CHUNK_BYTES = 1_000_000
"""The most bytes of content in one commit of more than one row."""

Composable = Message | StandardMessage
Compose = Callable[[Any], "tuple[Composable, NewMessage]"]
"""Composes a row's message, ready to be stored; raises `MessageError`."""


@dataclass(frozen=True, slots=True)
class StoredRow:
    """One row of a batch that is in the outbox now."""

    message: Composable
    new: NewMessage
    receipt: Receipt


OnStored = Callable[[Sequence[StoredRow], float], object]
"""Called after each commit with what it stored, and how many seconds that took."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a batch is: the keyword arguments of ``send_many()`` that say so."""

    name: str
    tag: str | None = None
    key: str | None = None
    resume: str | None = None
    sensitive: bool = False
    """Whether an error with a row may be stored only by its kind: its words may have
    something of the row."""
    actor: Actor | None = None
    """Who sends it, for the audit trail; None if no person does."""


class BatchHandOver:
    """Stores a batch, from the first row that is not stored to the last.

    ``compose`` makes a row a message, ``recipients_of`` names the recipients of a row
    without composing it, and ``on_stored`` is called after each commit. ``traces``, if
    given, makes a span around each.
    """

    def __init__(
        self,
        store: BatchStore,
        compose: Compose,
        recipients_of: Callable[[Any], Iterable[str]],
        on_stored: OnStored,
        traces: Traces | None = None,
    ) -> None:
        self._store = store
        self._compose = compose
        self._recipients_of = recipients_of
        self._on_stored = on_stored
        self._traces = traces
        self._row = 0
        self._chunk: list[tuple[Composable, NewMessage]] = []
        self._chunk_bytes = 0
        self._digest = ""

    def run(self, rows: Iterable[Any], plan: Plan) -> BatchReceipt:
        """Store every row; the total is known where ``rows`` has a length.

        Raises `BatchInterrupted` with the number of the row at fault; the rows before
        it are stored. Raises `MessageError` for rows that are not those of the batch
        that is resumed, `TransitionRefused` for one that was cancelled meanwhile, and
        `BatchNotFound`.
        """
        from ..outbox.records import BatchReceipt

        self._sensitive = plan.sensitive
        self._progress = self._open(plan, _length(rows))
        if self._progress.ended:
            return BatchReceipt(
                self._progress.id, self._progress.rows_stored, duplicate=True
            )
        numbered = iter(rows)
        try:
            self._skip_stored(numbered)
            self._add_all(numbered)
            self._store.end(self._progress.id)
        except (TransitionRefused, _RowsDiffer):
            raise
        except Exception as error:
            raise self._interrupted(error) from error
        except BaseException as error:
            self._record_problem("It was interrupted.")
            self._count_stored()
            error.add_note(
                f"{self._stored_so_far()} To continue, resume batch "
                f"{self._progress.id}."
            )
            raise
        return BatchReceipt(self._progress.id, self._progress.rows_stored)

    def _open(self, plan: Plan, total: int | None) -> BatchProgress:
        if plan.resume is None:
            present = self._store.begin(plan.name, plan.tag, plan.key, total)
        progress = self._store.resume_hand_over(
            plan.resume or present.id, total, plan.actor
        )
        if progress.name != plan.name:
            raise MessageError(
                "resume" if plan.resume else "key",
                f"batch {progress.id} is {progress.name!r}, not {plan.name!r}.",
            )
        return progress

    def _skip_stored(self, rows: Iterator[Any]) -> None:
        """Skip the rows that are stored, once sure that they are the same rows."""
        while self._row < self._progress.rows_stored:
            try:
                row = next(rows)
            except StopIteration:
                break
            self._row += 1
            self._digest = self._digest_with(row)
        if self._digest != self._progress.digest:
            raise _RowsDiffer(self._progress, self._row)

    def _add_all(self, rows: Iterator[Any]) -> None:
        while True:
            self._row += 1
            try:
                row = next(rows)
            except StopIteration:
                break
            self._add(row)
        self._store_chunk()

    def _add(self, row: Any) -> None:
        message, new = self._compose(row)
        numbered = replace(new, batch=self._progress.id, batch_row=self._row)
        size_bytes = len(new.content) + len(new.template or "")
        full = len(self._chunk) == CHUNK_ROWS
        if full or self._chunk_bytes + size_bytes > CHUNK_BYTES:
            self._store_chunk()
        self._digest = self._digest_with(row)
        self._chunk.append((message, numbered))
        self._chunk_bytes += size_bytes

    def _store_chunk(self) -> None:
        """Store what has gathered, in one commit."""
        chunk, self._chunk, self._chunk_bytes = self._chunk, [], 0
        if not chunk:
            return
        new = [one for _, one in chunk]
        began = time.perf_counter()
        receipts = self._stored(new)
        seconds = time.perf_counter() - began
        kept = self._progress.rows_stored + len(chunk)
        self._progress = replace(self._progress, rows_stored=kept, digest=self._digest)
        pairs = zip(chunk, receipts, strict=True)
        self._on_stored([StoredRow(*one, receipt) for one, receipt in pairs], seconds)

    def _stored(self, rows: Sequence[NewMessage]) -> list[Receipt]:
        if self._traces is None:
            return self._store.store_rows(self._progress, rows, self._digest)
        with self._traces.hand_over() as span:
            span.note_rows(self._progress.id, rows)
            trace = span.context
            traced = [replace(one, trace=trace) for one in rows]
            return self._store.store_rows(self._progress, traced, self._digest)

    def _count_stored(self) -> None:
        """Ask the outbox: an interruption may have come right behind a commit."""
        with suppress(StoreError):
            kept = self._store.get(self._progress.id).rows_stored
            self._progress = replace(self._progress, rows_stored=kept)

    def _digest_with(self, row: Any) -> str:
        """A digest of the recipients of all rows up to this one."""
        text = "\n".join([self._digest, *self._recipients_of(row)])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def _interrupted(self, error: Exception) -> BatchInterrupted:
        """Store the rows before the faulty one, and say how to continue."""
        row = self._row
        if isinstance(error, StoreError):
            row = self._progress.rows_stored + 1
        else:
            with suppress(StoreError):
                self._store_chunk()
        kept = self._progress.rows_stored
        problem = f"Row {row:,}: {_sentence_of(error)}"
        kind = f"Row {row:,}: {type(error).__name__}; the batch is sensitive."
        self._record_problem(kind if self._sensitive else problem)
        return BatchInterrupted(
            f"{problem} {self._stored_so_far()}", self._progress.id, row, kept
        )

    def _stored_so_far(self) -> str:
        stored = self._progress.rows_stored
        rows = {0: "No row is", 1: "The first row is"}
        first = rows.get(stored, f"The first {stored:,} rows are")
        return f"{first} stored in batch {self._progress.id}."

    def _record_problem(self, problem: str) -> None:
        """Record why it was interrupted, if the database can be reached."""
        with suppress(StoreError):
            self._store.interrupt(self._progress.id, problem)


class _RowsDiffer(MessageError):
    """The rows differ from those that the batch has stored."""

    def __init__(self, progress: BatchProgress, rows: int) -> None:
        few = (
            f"there are only {rows:,}"
            if rows < progress.rows_stored
            else "these are different rows"
        )
        super().__init__(
            "rows",
            f"batch {progress.id} has stored {progress.rows_stored:,} rows, but {few}. "
            "To continue it, pass the same rows in the same order; only rows after "
            "those may have changed. Nothing was stored.",
        )


def _sentence_of(error: Exception) -> str:
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


def recipients_of(message: Composable) -> list[str]:
    """The recipients of a message, as far as known without composing it."""
    if isinstance(message, StandardMessage):
        names = ("to", "cc", "bcc")
        return [str(one) for name in names for one in message.get_all(name, [])]
    everyone = [*message.recipients, *message.cc, *message.bcc]
    return [Address.parse(one, "recipients").spec for one in everyone]
