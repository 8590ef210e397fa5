"""How far mailboxes are read, so that a restart reads each mail once."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from .records import MailboxCursor
from .schema import mailbox


def read_cursor(connection: Connection, name: str) -> MailboxCursor | None:
    """The cursor of a mailbox; None if none of it was read."""
    row = connection.execute(
        select(*mailbox.c["uid_validity", "uid"]).where(mailbox.c.name == name)
    ).first()
    return MailboxCursor._make(row) if row else None


def write_cursor(connection: Connection, name: str, cursor: MailboxCursor) -> None:
    """Note how far a mailbox was read."""
    values = cursor._asdict()
    known = connection.execute(
        update(mailbox).where(mailbox.c.name == name).values(**values)
    )
    if known.rowcount == 0 and read_cursor(connection, name) is None:
        connection.execute(mailbox.insert().values(name=name, **values))
