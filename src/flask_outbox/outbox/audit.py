"""The audit trail: who did what, written in the transaction that does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import Connection, delete, select, update

from ..delivery import storable
from . import ids
from .database import Database
from .group_commit import WorkOf
from .read import moment
from .records import Act, Actor, AuditLine, AuditPage, AuditSearch
from .schema import audit
from .statements import RowsInsert, run_together

PRUNED_AT_ONCE = 500

P = ParamSpec("P")
T = TypeVar("T")

_COLUMNS = ("id", "at", "actor", "face", "act", "target", "many", "note")

_insert = RowsInsert(audit, *_COLUMNS, skip_present=True)


@dataclass(frozen=True, slots=True)
class Draft:
    """One line of the trail, still to be written; that of nobody writes nothing."""

    id: str
    at: float
    actor: Actor | None
    act: Act
    target: str
    note: str

    def write(self, connection: Connection, many: int = 1) -> None:
        """Add the line. Run again, it changes nothing."""
        write_all(connection, [self], many)

    def row(self, many: int) -> Mapping[str, Any] | None:
        """The line as a row of the table; None if it is nobody's."""
        if self.actor is None:
            return None
        return {
            "id": self.id,
            "at": self.at,
            "actor": self.actor.name,
            "face": self.actor.face,
            "act": self.act.value,
            "target": storable(self.target)[:LENGTH],
            "many": many,
            "note": storable(self.note)[:LENGTH],
        }

    def count(self, connection: Connection, more: int) -> None:
        """Say in the line, which is written, that the act concerned ``more``."""
        if self.actor is not None and more:
            line = update(audit).where(audit.c.id == self.id)
            connection.execute(line.values(many=audit.c.many + more))

    def beside(
        self, work: WorkOf[P, T], many: Callable[[T], int] = lambda _: 1
    ) -> WorkOf[P, T]:
        """``work``, which then also writes the line in its transaction.

        ``many`` says of the result how many things the act concerned.
        """
        if self.actor is None:
            return work

        def both(connection: Connection, /, *args: P.args, **options: P.kwargs) -> T:
            result = work(connection, *args, **options)
            self.write(connection, many(result))
            return result

        return both

    def counting(self, work: WorkOf[P, T], many: Callable[[T], int]) -> WorkOf[P, T]:
        """``work``, which then also counts in the line, which is written, how many
        things it concerned: ``many`` of the result.
        """

        def both(connection: Connection, /, *args: P.args, **options: P.kwargs) -> T:
            result = work(connection, *args, **options)
            self.count(connection, many(result))
            return result

        return both


class AuditTrail:
    """The audit trail of an outbox. Safe to share between threads."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self.clock = clock

    def draft(
        self, actor: Actor | None, act: Act, target: str = "", note: str = ""
    ) -> Draft:
        """The line that ``actor`` does this now, still to be written."""
        return draft(actor, act, self.clock(), target, note)

    def note(
        self,
        actor: Actor | None,
        act: Act,
        target: str = "",
        note: str = "",
        many: int = 1,
    ) -> Draft:
        """Write that ``actor`` does this, before it is done.

        What is returned counts, in the transactions of the act, how many it concerns.
        """
        line = self.draft(actor, act, target, note)
        if actor is not None:
            self._database.write(lambda conn: line.write(conn, many))
        return line

    def count(self, line: Draft, more: int) -> None:
        """Say in a line from `note` that the act concerned ``more``."""
        self._database.write(lambda conn: line.count(conn, more))

    def note_view(self, actor: Actor | None, message_id: str) -> None:
        """Write that ``actor`` views a message's content, unless the trail says so
        already of the last `VIEW_SECONDS`.
        """
        if actor is None:
            return
        since = self.clock() - VIEW_SECONDS
        with self._database.reading() as connection:
            if seen(connection, actor, message_id, since):
                return
        self.note(actor, Act.VIEW, message_id)

    def find(self, wanted: AuditSearch | None = None, limit: int = 50) -> AuditPage:
        """The newest lines that match ``wanted``."""
        with self._database.reading() as connection:
            return find(connection, wanted or AuditSearch(), limit)


VIEW_SECONDS = 600.0
"""Who views the same content again within this time is recorded once."""

LENGTH = 255
"""How much of a target and of a note is kept."""


def draft(
    actor: Actor | None, act: Act, now: float, target: str = "", note: str = ""
) -> Draft:
    """A line for an act at ``now``; ``target`` is an id, a name or `masked`."""
    id = "" if actor is None else ids.new_id_at(now)
    return Draft(id, now, actor, act, target, note)


NOBODYS = draft(None, Act.VIEW, 0.0)
"""The line of an act that is not recorded."""


def write_all(connection: Connection, lines: Iterable[Draft], many: int = 1) -> None:
    """Add these lines, in one statement. Run again, it changes nothing."""
    rows = [row for one in lines if (row := one.row(many)) is not None]
    if rows:
        copy(connection, rows)


def copy(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add lines, each a row of the table, that are not there already."""
    values = [tuple(row[name] for name in _COLUMNS) for row in rows]
    run_together(connection, _insert.statements(connection, values))


def find(connection: Connection, wanted: AuditSearch, limit: int) -> AuditPage:
    """The newest lines that match ``wanted``."""
    lines = select(audit).order_by(audit.c.id.desc()).limit(limit + 1)
    if wanted.target:
        lines = lines.where(audit.c.target == wanted.target)
    if wanted.actor:
        lines = lines.where(audit.c.actor == wanted.actor)
    if wanted.act:
        lines = lines.where(audit.c.act == wanted.act.value)
    if wanted.since:
        lines = lines.where(audit.c.id >= _id_at(wanted.since))
    if wanted.until:
        lines = lines.where(audit.c.id < _id_at(wanted.until))
    if wanted.before:
        lines = lines.where(audit.c.id < wanted.before)
    rows = connection.execute(lines).all()
    found = tuple(
        AuditLine(
            row.id,
            moment(row.at),
            row.actor,
            row.face,
            row.act,
            row.target,
            row.many,
            row.note,
        )
        for row in rows[:limit]
    )
    return AuditPage(found, found[-1].id if len(rows) > limit else None)


def _id_at(at: datetime) -> str:
    return ids.id_at(at.timestamp())


def seen(connection: Connection, actor: Actor, target: str, since: float) -> bool:
    """Whether ``actor`` was recorded to have viewed ``target`` after ``since``."""
    line = select(audit.c.id).where(
        audit.c.target == target,
        audit.c.id >= ids.id_at(since),
        audit.c.act == Act.VIEW.value,
        audit.c.actor == actor.name,
        audit.c.face == actor.face,
    )
    return connection.scalar(line.limit(1)) is not None


def delete_old(connection: Connection, before: float) -> bool:
    """Delete some of the lines from before that time; whether there may be more."""
    old = select(audit.c.id).where(audit.c.id < ids.id_at(before))
    found = list(connection.scalars(old.order_by(audit.c.id).limit(PRUNED_AT_ONCE)))
    if found:
        connection.execute(delete(audit).where(audit.c.id.in_(found)))
    return len(found) == PRUNED_AT_ONCE
