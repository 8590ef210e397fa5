"""Attachments: what is large in the content of messages is kept once, in whichever of
them it is. A message's own content is kept without it, and made whole when it is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, Insert, bindparam, delete, exists, select
from sqlalchemy.dialects import mysql, postgresql, sqlite

from .cutting import Piece, whole
from .schema import attached, attachment, content

SWEPT_AT_ONCE = 500
"""How many are deleted in one transaction."""

_FOUND = (
    select(attachment.c.digest)
    .where(attachment.c.digest.in_(bindparam("digests", expanding=True)))
    .order_by(attachment.c.digest)
)
_PRESENT = _FOUND.with_for_update(read=True, key_share=True)
"""Locks them too: nobody sweeps what is about to be attached."""


def attach(connection: Connection, pieces: Mapping[str, Iterable[Piece]]) -> None:
    """Attach pieces to messages, by their ids, whose content is kept already."""
    named = [
        (message_id, piece.digest, piece)
        for message_id, some in pieces.items()
        for piece in some
    ]
    if named:
        add(connection, {digest: piece.content for _, digest, piece in named})
        connection.execute(
            attached.insert(),
            [
                {"message_id": one, "at_byte": piece.at_byte, "digest": digest}
                for one, digest, piece in named
            ],
        )


def add(connection: Connection, contents: Mapping[str, bytes]) -> None:
    """Keep those of ``contents``, by their digests, that are not kept yet."""
    present = _present(connection, contents)
    rows = [
        {"digest": digest, "content": content}
        for digest, content in sorted(contents.items())
        if digest not in present
    ]
    if rows:
        connection.execute(_unless_present(connection.dialect.name), rows)


def _present(connection: Connection, digests: Iterable[str]) -> set[str]:
    """Which are kept, locked. Only those are asked for with a lock.

    MariaDB would lock the gap where a missing one belongs, and with it whoever adds
    another one there, where an app's transaction is REPEATABLE READ.
    """
    found = [*connection.scalars(_FOUND, {"digests": [*digests]})]
    return {*connection.scalars(_PRESENT, {"digests": found})} if found else set()


def _unless_present(dialect: str) -> Insert:
    """An insert that passes over what another has just added."""
    if dialect == "postgresql":
        return postgresql.insert(attachment).on_conflict_do_nothing()
    if dialect == "sqlite":
        return sqlite.insert(attachment).on_conflict_do_nothing()
    return mysql.insert(attachment).on_duplicate_key_update(digest=attachment.c.digest)


_ATTACHED = (
    select(attached)
    .where(attached.c.message_id.in_(bindparam("ids", expanding=True)))
    .order_by(attached.c.message_id, attached.c.at_byte)
)
_CONTENT = (
    select(*content.c["body", "template"], attached.c.at_byte, attachment.c.content)
    .outerjoin(attached, attached.c.message_id == content.c.message_id)
    .outerjoin(attachment, attachment.c.digest == attached.c.digest)
    .where(content.c.message_id == bindparam("message_id"))
    .order_by(attached.c.at_byte)
)
_CONTENTS = select(attachment).where(
    attachment.c.digest.in_(bindparam("digests", expanding=True))
)


class Kept(NamedTuple):
    """What is kept of a message's content, made whole."""

    body: bytes
    template: str | None


def kept_of(connection: Connection, message_id: str) -> Kept | None:
    """What is kept of a message's content; None once it was pruned.

    Asked in one statement, which sees one moment: it may be pruned at any other.
    """
    rows = connection.execute(_CONTENT, {"message_id": message_id}).all()
    if not rows:
        return None
    pieces = [
        Piece(row.at_byte, row.content) for row in rows if row.at_byte is not None
    ]
    return Kept(whole(rows[0].body, pieces), rows[0].template)


class Rest(NamedTuple):
    """What is kept with a message of its content, and how many pieces are apart."""

    body: bytes
    attached: int


def made_whole(connection: Connection, rests: Mapping[str, Rest]) -> dict[str, bytes]:
    """By message, the content of which ``rests`` are kept with the messages.

    One of which a piece is lost is left out.
    """
    if not rests:
        return {}
    rows = connection.execute(_ATTACHED, {"ids": [*rests]}).all()
    digests = sorted({row.digest for row in rows})
    contents = contents_of(connection, digests)
    pieces: dict[str, list[Piece]] = {one: [] for one in rests}
    for row in rows:
        if row.digest in contents:
            pieces[row.message_id].append(Piece(row.at_byte, contents[row.digest]))
    return {
        one: whole(rest.body, pieces[one])
        for one, rest in rests.items()
        if len(pieces[one]) == rest.attached
    }


def contents_of(connection: Connection, digests: Iterable[str]) -> dict[str, bytes]:
    """What is kept under these digests."""
    rows = connection.execute(_CONTENTS, {"digests": [*digests]})
    return {row.digest: row.content for row in rows}


_LOOSE = ~exists(
    select(attached.c.digest).where(attached.c.digest == attachment.c.digest)
)


def sweep(connection: Connection) -> int:
    """Delete some of what is attached to no message any more; how many.

    What a hand-over is attaching at this moment is passed over. It looks again once it
    has the locks, for what was attached until then.
    """
    found: list[Any] = list(
        connection.scalars(
            select(attachment.c.digest)
            .where(_LOOSE)
            .limit(SWEPT_AT_ONCE)
            .with_for_update(of=attachment, skip_locked=True)
        )
    )
    if not found:
        return 0
    loose = delete(attachment).where(attachment.c.digest.in_(found), _LOOSE)
    return connection.execute(loose).rowcount
