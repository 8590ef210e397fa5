"""Stores each large attachment once, for all messages that contain it.

A message's content is stored without them, and is reassembled when it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy import Connection, Insert, bindparam, delete, exists, select

from ..errors import StoreError
from .schema import attached, attachment, content
from .sealed import SealedColumns, keys_of, query, seal_rows

LARGE_BYTES = 16 * 1024
"""The least encoded size of an attachment that is stored apart: for smaller ones, a row
costs about as much as it could save."""

_HEADER_ENDS, _PART_ENDS = b"\r\n\r\n", b"\r\n--"
_BASE64_LINE = re.compile(rb"[A-Za-z0-9+/]{76}\r\n")


@dataclass(frozen=True, slots=True)
class SharedPart:
    """A part cut out of a message's content, and its position in the rest."""

    at_byte: int
    content: bytes


def digest_of(connection: Connection, content: bytes) -> str:
    """The digest under which an attachment is stored: its SHA-256 or, in an encrypted
    outbox, one that nobody can compute without the key.
    """
    keys = keys_of(connection)
    return sha256(content).hexdigest() if keys is None else keys.digest(content)


def split(content: bytes) -> tuple[bytes, list[SharedPart]]:
    """The content without its large parts, and those parts."""
    rest: list[bytes] = []
    parts: list[SharedPart] = []
    done = at_byte = 0
    for begin, end in _large(content):
        rest.append(content[done:begin])
        at_byte += begin - done
        parts.append(SharedPart(at_byte, content[begin:end]))
        done = end
    return b"".join([*rest, content[done:]]) if parts else content, parts


def join(rest: bytes, parts: Iterable[SharedPart]) -> bytes:
    """Reverse `split`: the original content, byte for byte."""
    found: list[bytes] = []
    done = 0
    for part in parts:
        found += rest[done : part.at_byte], part.content
        done = part.at_byte
    return b"".join([*found, rest[done:]])


def _large(content: bytes) -> Iterator[tuple[int, int]]:
    """Where each MIME part's base64 text of `LARGE_BYTES` or more begins and ends."""
    end = 0
    while len(content) - end >= LARGE_BYTES:
        header_end = content.find(_HEADER_ENDS, end)
        if header_end < 0:
            return
        begin = header_end + len(_HEADER_ENDS)
        end = content.find(_PART_ENDS, begin)
        end = end if end >= 0 else len(content)
        if end - begin >= LARGE_BYTES and _BASE64_LINE.match(content, begin):
            yield begin, end


UNUSED_LIMIT = 500
"""The most attachments that one transaction deletes."""

_FOUND = (
    select(attachment.c.digest)
    .where(attachment.c.digest.in_(bindparam("digests", expanding=True)))
    .order_by(attachment.c.digest)
)
_PRESENT = _FOUND.with_for_update(read=True, key_share=True)
"""Also locks them, so that no attachment is deleted that is about to be used."""


def attach(connection: Connection, parts: Mapping[str, Iterable[SharedPart]]) -> None:
    """Attach parts to messages, given by id, whose content is stored already."""
    named = [
        (message_id, digest_of(connection, part.content), part)
        for message_id, some in parts.items()
        for part in some
    ]
    if named:
        add(connection, {digest: part.content for _, digest, part in named})
        connection.execute(
            attached.insert(),
            [
                {"message_id": one, "at_byte": part.at_byte, "digest": digest}
                for one, digest, part in named
            ],
        )


def add(connection: Connection, contents: Mapping[str, bytes]) -> None:
    """Store those of ``contents`` (digest → bytes) that are not stored yet."""
    present = _present(connection, contents)
    rows = [
        {"digest": digest, "content": content}
        for digest, content in sorted(contents.items())
        if digest not in present
    ]
    if rows:
        sealed = [*seal_rows(keys_of(connection), attachment, rows)]
        connection.execute(_unless_present(connection.dialect.name), sealed)


def _present(connection: Connection, digests: Iterable[str]) -> set[str]:
    """Lock and return those of ``digests`` that are stored.

    Only existing ones are locked. For a missing one, MariaDB would lock the gap where
    it belongs (in an app's transaction that is REPEATABLE READ), and so make others
    wait that add another one there.
    """
    found = [*connection.scalars(_FOUND, {"digests": [*digests]})]
    return {*connection.scalars(_PRESENT, {"digests": found})} if found else set()


def _unless_present(dialect: str) -> Insert:
    """An insert that skips attachments that another transaction has just added."""
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(attachment).on_conflict_do_nothing()
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(attachment).on_conflict_do_nothing()
    from sqlalchemy.dialects import mysql

    return mysql.insert(attachment).on_duplicate_key_update(digest=attachment.c.digest)


_ATTACHED = (
    select(attached)
    .where(attached.c.message_id.in_(bindparam("ids", expanding=True)))
    .order_by(attached.c.message_id, attached.c.at_byte)
)
_CONTENT = (
    select(
        *content.c["message_id", "body", "template"],
        *(attached.c.at_byte, attachment.c.digest, attachment.c.content),
    )
    .outerjoin(attached, attached.c.message_id == content.c.message_id)
    .outerjoin(attachment, attachment.c.digest == attached.c.digest)
    .where(content.c.message_id == bindparam("message_id"))
    .order_by(attached.c.at_byte)
)
_CONTENTS = select(attachment).where(
    attachment.c.digest.in_(bindparam("digests", expanding=True))
)


class StoredContent(NamedTuple):
    """A message's content or template, reassembled."""

    body: bytes
    template: str | None


def stored_content(connection: Connection, message_id: str) -> StoredContent | None:
    """A message's content or template; None once it is pruned.

    Read in one statement, so that pruning cannot come between.
    """
    rows = query(connection, _CONTENT, {"message_id": message_id}).all()
    if not rows:
        return None
    parts = [
        SharedPart(row.at_byte, row.content) for row in rows if row.at_byte is not None
    ]
    return StoredContent(join(rows[0].body, parts), rows[0].template)


class Remainder(NamedTuple):
    """A message's content without its large parts, and the number of these."""

    body: bytes
    attached: int


def reassemble(
    connection: Connection, rests: Mapping[str, Remainder]
) -> dict[str, bytes | StoreError]:
    """The whole contents of messages, by id; of one that cannot be decrypted, why.

    Leaves out those that lack a part.
    """
    if not rests:
        return {}
    rows = connection.execute(_ATTACHED, {"ids": [*rests]}).all()
    contents = _contents_or_why(connection, sorted({row.digest for row in rows}))
    parts: dict[str, list[SharedPart]] = {one: [] for one in rests}
    sealed: dict[str, bytes | StoreError] = {}
    for row in rows:
        part = contents.get(row.digest)
        if isinstance(part, StoreError):
            sealed[row.message_id] = part
        elif part is not None:
            parts[row.message_id].append(SharedPart(row.at_byte, part))
    whole = {
        one: join(rest.body, parts[one])
        for one, rest in rests.items()
        if len(parts[one]) == rest.attached
    }
    return {**whole, **sealed}


def contents_of(connection: Connection, digests: Iterable[str]) -> dict[str, bytes]:
    """The contents of the attachments with these digests."""
    rows = query(connection, _CONTENTS, {"digests": [*digests]})
    return {row.digest: row.content for row in rows}


def _contents_or_why(
    connection: Connection, digests: Sequence[str]
) -> dict[str, bytes | StoreError]:
    """Do what `contents_of` does; of those that cannot be decrypted, why."""
    keys = keys_of(connection)
    found: dict[str, bytes | StoreError] = {}
    for row in connection.execute(_CONTENTS, {"digests": digests}):
        try:
            _, found[row.digest] = _SEALED.open(keys, row)
        except StoreError as error:
            found[row.digest] = error
    return found


_SEALED = SealedColumns([*_CONTENTS.selected_columns])


_UNUSED = ~exists(
    select(attached.c.digest).where(attached.c.digest == attachment.c.digest)
)


def delete_unused(connection: Connection) -> int:
    """Delete some attachments that no message has any more; return how many.

    Skips those that are locked because a message is about to use them. Once the rest
    is locked, it checks again that they are unused.
    """
    found: list[Any] = list(
        connection.scalars(
            select(attachment.c.digest)
            .where(_UNUSED)
            .limit(UNUSED_LIMIT)
            .with_for_update(of=attachment, skip_locked=True)
        )
    )
    if not found:
        return 0
    unused = delete(attachment).where(attachment.c.digest.in_(found), _UNUSED)
    return connection.execute(unused).rowcount
