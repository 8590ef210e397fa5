"""The outbox's tables. Times are epoch seconds in UTC; structured columns are JSON."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    literal_column,
)
from sqlalchemy.dialects import mysql

REVISION = "0001"
"""The newest migration: what the tables below look like."""

VERSION_TABLE = "outbox_version"

metadata = MetaData()

OPTIONS: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (
        ("engine", "InnoDB"),
        ("charset", "utf8mb4"),
        ("collate", "utf8mb4_bin"),
    )
}
"""Text compares byte by byte everywhere, as it does in SQLite and PostgreSQL."""

_Id = String(26)
_Key = String(255)
_Long = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
_Address = _Key.with_variant(String(255, collation="C"), "postgresql")
_Bytes = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
_Serial = BigInteger().with_variant(Integer, "sqlite")

PENDING: ColumnElement[str] = literal_column("'pending'")
LEASED: ColumnElement[str] = literal_column("'leased'")
ZERO: ColumnElement[int] = literal_column("0")
ONE: ColumnElement[int] = literal_column("1")
"""SQL literals: hot statements bind only what varies, and a partial index is only used
where its value is in the text."""

message = Table(
    "outbox_message",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("state", String(10), nullable=False),
    Column("due_at", Double, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("lane", String(64), nullable=False),
    Column("queue", _Key, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("lease_owner", _Id),
    Column("lease_token", Integer, nullable=False),
    Column("begun", SmallInteger, nullable=False),
    Column("key", _Key),
    Column("tag", _Key),
    Column("message_id", String(998), nullable=False),
    Column("return_path", _Key, nullable=False),
    Column("subject", _Long, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("enqueued_at", Double, nullable=False),
    Column("give_up_at", Double, nullable=False),
    Column("finished_at", Double),
    Column("origin", _Long),
    Column("batch", _Id),
    Column("batch_row", Integer),
    sqlite_with_rowid=False,
    **OPTIONS,
)
"""One row a message: small, because couriers look here all the time.

``queue`` is the tag where its concurrency is bounded, and "" otherwise (`waiting`).
"""

Index(
    "outbox_message_due",
    message.c.state,
    message.c.lane,
    message.c.queue,
    message.c.priority,
    message.c.due_at,
    sqlite_where=message.c.state == PENDING,
)
"""Not partial on PostgreSQL, which makes no use of a column that the index's condition
has fixed: without its first column it would read all of the index."""
Index(
    "outbox_message_leased",
    message.c.lease_owner,
    sqlite_where=message.c.state == LEASED,
    postgresql_where=message.c.state == LEASED,
)
Index("outbox_message_state", message.c.state, message.c.id)
Index(
    "outbox_message_tag",
    message.c.tag,
    message.c.id,
    sqlite_where=message.c.tag.is_not(None),
    postgresql_where=message.c.tag.is_not(None),
)
Index(
    "outbox_message_finished",
    message.c.finished_at,
    sqlite_where=message.c.finished_at.is_not(None),
    postgresql_where=message.c.finished_at.is_not(None),
)
Index(
    "outbox_message_key",
    message.c.key,
    unique=True,
    sqlite_where=message.c.key.is_not(None),
    postgresql_where=message.c.key.is_not(None),
)

Index(
    "outbox_message_batch",
    message.c.batch,
    message.c.state,
    message.c.id,
    sqlite_where=message.c.batch.is_not(None),
    postgresql_where=message.c.batch.is_not(None),
)

content = Table(
    "outbox_content",
    metadata,
    Column(
        "message_id",
        _Id,
        ForeignKey("outbox_message.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("body", _Bytes, nullable=False),
    Column("attached", Integer, nullable=False),
    Column("template", _Long),
    Column("envelope", _Long),
    Column("metadata", _Long),
    **OPTIONS,
)
"""What is said, apart from the message's row so that claims stay cheap.

``body`` is without the ``attached`` pieces, which are kept apart (`attachments`). Until
a courier has rendered it, what is said is a ``template``, and the body is empty.
"""

attachment = Table(
    "outbox_attachment",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("content", _Bytes, nullable=False),
    **OPTIONS,
)
"""What is large in the content of any number of messages, by its SHA-256."""

attached = Table(
    "outbox_attached",
    metadata,
    Column(
        "message_id",
        _Id,
        ForeignKey("outbox_content.message_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("at_byte", Integer, primary_key=True, autoincrement=False),
    Column("digest", ForeignKey("outbox_attachment.digest"), nullable=False),
    sqlite_with_rowid=False,
    **OPTIONS,
)
"""Where in a message's ``body`` an attachment belongs."""
Index("outbox_attached_digest", attached.c.digest)

recipient = Table(
    "outbox_recipient",
    metadata,
    Column(
        "message_id",
        _Id,
        ForeignKey("outbox_message.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("address", _Address, nullable=False),
    Column("state", String(10), nullable=False),
    Column("reply_code", SmallInteger),
    Column("reply_enhanced", String(16)),
    Column("reply_text", _Long),
    Column("replied_at", Double),
    sqlite_with_rowid=False,
    **OPTIONS,
)
Index("outbox_recipient_address", recipient.c.address, recipient.c.message_id)

event = Table(
    "outbox_event",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column(
        "message_id",
        _Id,
        ForeignKey("outbox_message.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("at", Double, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("detail", _Long),
    **OPTIONS,
)
"""The story of each message, only ever appended to."""
Index("outbox_event_message", event.c.message_id, event.c.id)

suppression = Table(
    "outbox_suppression",
    metadata,
    Column("address", _Key, primary_key=True),
    Column("list", _Key, primary_key=True),
    Column("reason", _Long, nullable=False),
    Column("source", String(16), nullable=False),
    Column("added_at", Double, nullable=False),
    sqlite_with_rowid=False,
    **OPTIONS,
)
"""Addresses, as `message.addresses.comparable` writes them, that must not be mailed."""

lane = Table(
    "outbox_lane",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("paused_until", Double),
    Column("reason", _Long),
    Column("paused_at", Double),
    Column("held_at", Double),
    Column("held_reason", _Long),
    Column("taken", _Long),
    **OPTIONS,
)
"""Lanes whose transport is in trouble (``paused_…``), that a person paused (``held_…``)
or whose limits are used (``taken``: what `Allowance` keeps). One without a row is open.
"""

batch = Table(
    "outbox_batch",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("key", _Key),
    Column("name", _Key, nullable=False),
    Column("tag", _Key),
    Column("kept", Integer, nullable=False),
    Column("total", Integer),
    Column("digest", String(32), nullable=False),
    Column("process", Text, nullable=False),
    Column("began_at", Double, nullable=False),
    Column("kept_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("paused_at", Double),
    Column("cancelled_at", Double),
    Column("error", _Long),
    **OPTIONS,
)
"""What was handed over together. The first ``kept`` of its rows are here, and
``digest`` says to whom those go; ``ended_at`` is when the last of all was kept."""
Index(
    "outbox_batch_key",
    batch.c.key,
    unique=True,
    sqlite_where=batch.c.key.is_not(None),
    postgresql_where=batch.c.key.is_not(None),
)

courier = Table(
    "outbox_courier",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("engine", String(16), nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("process", Text, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
    Column("lease_until", Double, nullable=False),
    **OPTIONS,
)
"""Heartbeats. A message's lease runs as long as its owner's ``lease_until``."""

pulse = Table(
    "outbox_pulse",
    metadata,
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("courier", _Id, primary_key=True),
    Column("lane", String(64), primary_key=True),
    Column("sent", Integer, nullable=False),
    Column("deferred", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("unknown", Integer, nullable=False),
    Column("released", Integer, nullable=False),
    Column("waits", _Long, nullable=False),
    Column("durations", _Long, nullable=False),
    Column("troubles", _Long, nullable=False),
    **OPTIONS,
)
"""What attempts came to in the minute that begins ``at``: statistics, not the truth.
Merged later: ``courier`` is "" for all, and a day later ``at`` begins an hour."""


departure = Table(
    "outbox_departure",
    metadata,
    Column(
        "message_id",
        _Id,
        ForeignKey("outbox_message.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("move", _Id, nullable=False),
    Column("batch", Integer, nullable=False),
    Column("state", String(10), nullable=False),
    Column("heading_to", _Long, nullable=False),
    Column("departed_at", Double, nullable=False),
    **OPTIONS,
)
"""The messages that are *moving*: the state that each had, and where it is going."""

arrival = Table(
    "outbox_arrival",
    metadata,
    Column("move", _Id, primary_key=True),
    Column("batch", Integer, nullable=False),
    Column("came_from", _Long, nullable=False),
    Column("begun_at", Double, nullable=False),
    **OPTIONS,
)
"""The moves to this outbox, and the number of the last batch of each that is here."""


def add_tables(target: MetaData) -> None:
    """Put the outbox's tables into the app's own metadata, for its own migrations.

    For Flask-Migrate: ``add_tables(db.metadata)`` before ``flask db migrate``. The
    tables are then made and changed by the app's migrations, and ``flask outbox init``
    and ``upgrade`` are not needed.
    """
    for table in metadata.sorted_tables:
        table.to_metadata(target)
