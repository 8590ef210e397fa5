"""How databases make the outbox's tables: their types, options and indexes.

Apart from the tables themselves, since SQLAlchemy loads the dialects of all databases
for it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Index, LargeBinary, MetaData, Text

from .schema import BYTES, LEASED, LONG, PENDING, metadata

OPTIONS: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (
        ("engine", "InnoDB"),
        ("charset", "utf8mb4"),
        ("collate", "utf8mb4_bin"),
    )
}
"""Options by which MariaDB and MySQL compare text byte by byte, as SQLite does."""

WITHOUT_ROWID = (
    "outbox_message", "outbox_attached", "outbox_recipient", "outbox_suppression",
    "outbox_provider_id", "outbox_feedback", "outbox_pardon", "outbox_audit",
)  # fmt: skip
"""The tables that SQLite keeps in their primary key."""


def add_tables(target: MetaData) -> None:
    """Add the outbox's tables to the app's own metadata, for its own migrations.

    For Flask-Migrate: ``add_tables(db.metadata)`` before ``flask db migrate``. The
    tables are then made and changed by the app's migrations, and ``flask outbox init``
    and ``upgrade`` are not needed.
    """
    from sqlalchemy.dialects import mysql

    long = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
    large = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
    for plain in metadata.sorted_tables:
        table = plain.to_metadata(target)
        table.kwargs.update(OPTIONS)
        if table.name in WITHOUT_ROWID:
            table.kwargs["sqlite_with_rowid"] = False
        for column in table.columns:
            if column.type is LONG:
                column.type = long
            elif column.type is BYTES:
                column.type = large
    _add_indexes(target)


def _add_indexes(target: MetaData) -> None:
    message = target.tables["outbox_message"].c
    Index(
        "outbox_message_due",
        message.state,
        message.lane,
        message.queue,
        message.priority,
        message.due_at,
        # Not partial on PostgreSQL. There a partial index's fixed first column is not
        # used to seek, so that all of the index would be read.
        sqlite_where=message.state == PENDING,
    )
    leased = message.state == LEASED
    Index("outbox_message_leased", message.lease_owner, **_where(leased))
    Index("outbox_message_state", message.state, message.id)
    tagged = message.tag.is_not(None)
    Index("outbox_message_tag", message.tag, message.id, **_where(tagged))
    finished = message.finished_at.is_not(None)
    Index("outbox_message_finished", message.finished_at, **_where(finished))
    has_key = message.key.is_not(None)
    Index("outbox_message_key", message.key, unique=True, **_where(has_key))
    in_batch = message.batch.is_not(None)
    Index(
        "outbox_message_batch",
        message.batch,
        message.state,
        message.id,
        **_where(in_batch),
    )
    attached = target.tables["outbox_attached"].c
    Index("outbox_attached_digest", attached.digest)
    recipient = target.tables["outbox_recipient"].c
    Index("outbox_recipient_address", recipient.address, recipient.message_id)
    has_fate = recipient.fate.is_not(None)
    Index(
        "outbox_recipient_fate",
        recipient.fate,
        recipient.message_id,
        **_where(has_fate),
    )
    provider_id = target.tables["outbox_provider_id"].c
    Index("outbox_provider_id_given", provider_id.provider_id, provider_id.provider)
    suppression = target.tables["outbox_suppression"].c
    Index("outbox_suppression_source", suppression.source)
    feedback = target.tables["outbox_feedback"].c
    Index("outbox_feedback_event", feedback.source, feedback.event_id, unique=True)
    Index("outbox_feedback_address", feedback.address, feedback.at)
    unmatched = feedback.look_at.is_not(None)
    Index("outbox_feedback_look", feedback.look_at, **_where(unmatched))
    event = target.tables["outbox_event"].c
    Index("outbox_event_message", event.message_id, event.id)
    batch = target.tables["outbox_batch"].c
    has_key = batch.key.is_not(None)
    Index("outbox_batch_key", batch.key, unique=True, **_where(has_key))
    webhook = target.tables["outbox_webhook"].c
    Index("outbox_webhook_due", webhook.endpoint, webhook.state, webhook.due_at)
    audit = target.tables["outbox_audit"].c
    Index("outbox_audit_target", audit.target, audit.id)
    Index("outbox_audit_actor", audit.actor, audit.id)
    finished = webhook.finished_at.is_not(None)
    Index("outbox_webhook_finished", webhook.finished_at, **_where(finished))


def _where(rows: ColumnElement[bool]) -> dict[str, Any]:
    """The options of an index of these rows alone, where an index can be so."""
    return {"sqlite_where": rows, "postgresql_where": rows}
