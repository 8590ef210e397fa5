"""The first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from flask_outbox.outbox.ddl import OPTIONS

revision = "0001"
down_revision = None

Long: sa.Text = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
Address: sa.String = sa.String(length=255).with_variant(
    sa.String(length=255, collation="C"), "postgresql"
)
Bytes: sa.LargeBinary = sa.LargeBinary().with_variant(
    mysql.LONGBLOB(), "mysql", "mariadb"
)
Serial: sa.BigInteger = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "outbox_batch",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=True),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("tag", sa.String(length=255), nullable=True),
        sa.Column("rows_stored", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("began_at", sa.Double(), nullable=False),
        sa.Column("stored_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("paused_at", sa.Double(), nullable=True),
        sa.Column("cancelled_at", sa.Double(), nullable=True),
        sa.Column("error", Long, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        **OPTIONS,
    )
    op.create_index(
        "outbox_batch_key",
        "outbox_batch",
        ["key"],
        unique=True,
        sqlite_where=sa.text("key IS NOT NULL"),
        postgresql_where=sa.text("key IS NOT NULL"),
    )
    op.create_table(
        "outbox_courier",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("engine", sa.String(length=16), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        **OPTIONS,
    )
    op.create_table(
        "outbox_lane",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("paused_until", sa.Double(), nullable=True),
        sa.Column("reason", Long, nullable=True),
        sa.Column("paused_at", sa.Double(), nullable=True),
        sa.Column("operator_paused_at", sa.Double(), nullable=True),
        sa.Column("operator_reason", Long, nullable=True),
        sa.Column("taken", Long, nullable=True),
        sa.PrimaryKeyConstraint("name"),
        **OPTIONS,
    )
    op.create_table(
        "outbox_suppression",
        sa.Column("address", sa.String(length=255), nullable=False),
        sa.Column("list", sa.String(length=255), nullable=False),
        sa.Column("reason", Long, nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("added_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("address", "list"),
        sqlite_with_rowid=False,
        **OPTIONS,
    )
    op.create_table(
        "outbox_message",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("lane", sa.String(length=64), nullable=False),
        sa.Column("queue", sa.String(length=255), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(length=26), nullable=True),
        sa.Column("lease_token", sa.Integer(), nullable=False),
        sa.Column("begun", sa.SmallInteger(), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=True),
        sa.Column("tag", sa.String(length=255), nullable=True),
        sa.Column("rfc_message_id", sa.String(length=998), nullable=False),
        sa.Column("return_path", sa.String(length=255), nullable=False),
        sa.Column("subject", Long, nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("enqueued_at", sa.Double(), nullable=False),
        sa.Column("give_up_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.Column("origin", Long, nullable=True),
        sa.Column("batch", sa.String(length=26), nullable=True),
        sa.Column("batch_row", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
        **OPTIONS,
    )
    op.create_index(
        "outbox_message_batch",
        "outbox_message",
        ["batch", "state", "id"],
        unique=False,
        sqlite_where=sa.text("batch IS NOT NULL"),
        postgresql_where=sa.text("batch IS NOT NULL"),
    )
    op.create_index(
        "outbox_message_due",
        "outbox_message",
        ["state", "lane", "queue", "priority", "due_at"],
        unique=False,
        sqlite_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "outbox_message_finished",
        "outbox_message",
        ["finished_at"],
        unique=False,
        sqlite_where=sa.text("finished_at IS NOT NULL"),
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.create_index(
        "outbox_message_key",
        "outbox_message",
        ["key"],
        unique=True,
        sqlite_where=sa.text("key IS NOT NULL"),
        postgresql_where=sa.text("key IS NOT NULL"),
    )
    op.create_index(
        "outbox_message_leased",
        "outbox_message",
        ["lease_owner"],
        unique=False,
        sqlite_where=sa.text("state = 'leased'"),
        postgresql_where=sa.text("state = 'leased'"),
    )
    op.create_index(
        "outbox_message_state", "outbox_message", ["state", "id"], unique=False
    )
    op.create_index(
        "outbox_message_tag",
        "outbox_message",
        ["tag", "id"],
        unique=False,
        sqlite_where=sa.text("tag IS NOT NULL"),
        postgresql_where=sa.text("tag IS NOT NULL"),
    )
    op.create_table(
        "outbox_stats",
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("courier", sa.String(length=26), nullable=False),
        sa.Column("lane", sa.String(length=64), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.Column("deferred", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("unknown", sa.Integer(), nullable=False),
        sa.Column("returned", sa.Integer(), nullable=False),
        sa.Column("waits", Long, nullable=False),
        sa.Column("durations", Long, nullable=False),
        sa.Column("troubles", Long, nullable=False),
        sa.PrimaryKeyConstraint("at", "courier", "lane"),
        **OPTIONS,
    )
    op.create_table(
        "outbox_content",
        sa.Column("message_id", sa.String(length=26), nullable=False),
        sa.Column("body", Bytes, nullable=False),
        sa.Column("attached", sa.Integer(), nullable=False),
        sa.Column("template", Long, nullable=True),
        sa.Column("envelope", Long, nullable=True),
        sa.Column("metadata", Long, nullable=True),
        sa.ForeignKeyConstraint(
            ["message_id"], ["outbox_message.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("message_id"),
        **OPTIONS,
    )
    op.create_table(
        "outbox_attachment",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("content", Bytes, nullable=False),
        sa.PrimaryKeyConstraint("digest"),
        **OPTIONS,
    )
    op.create_table(
        "outbox_attached",
        sa.Column("message_id", sa.String(length=26), nullable=False),
        sa.Column("at_byte", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"], ["outbox_content.message_id"], ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["digest"], ["outbox_attachment.digest"]),
        sa.PrimaryKeyConstraint("message_id", "at_byte"),
        sqlite_with_rowid=False,
        **OPTIONS,
    )
    op.create_index("outbox_attached_digest", "outbox_attached", ["digest"])
    op.create_table(
        "outbox_event",
        sa.Column("id", Serial, autoincrement=True, nullable=False),
        sa.Column("message_id", sa.String(length=26), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("detail", Long, nullable=True),
        sa.ForeignKeyConstraint(
            ["message_id"], ["outbox_message.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id"),
        **OPTIONS,
    )
    op.create_index(
        "outbox_event_message", "outbox_event", ["message_id", "id"], unique=False
    )
    op.create_table(
        "outbox_recipient",
        sa.Column("message_id", sa.String(length=26), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("address", Address, nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("reply_code", sa.SmallInteger(), nullable=True),
        sa.Column("reply_enhanced", sa.String(length=16), nullable=True),
        sa.Column("reply_text", Long, nullable=True),
        sa.Column("replied_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["message_id"], ["outbox_message.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("message_id", "position"),
        sqlite_with_rowid=False,
        **OPTIONS,
    )
    op.create_index(
        "outbox_recipient_address",
        "outbox_recipient",
        ["address", "message_id"],
        unique=False,
    )
    op.create_table(
        "outbox_departure",
        sa.Column("message_id", sa.String(length=26), nullable=False),
        sa.Column("move", sa.String(length=26), nullable=False),
        sa.Column("chunk", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("heading_to", Long, nullable=False),
        sa.Column("departed_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"], ["outbox_message.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("message_id"),
        **OPTIONS,
    )
    op.create_table(
        "outbox_arrival",
        sa.Column("move", sa.String(length=26), nullable=False),
        sa.Column("chunk", sa.Integer(), nullable=False),
        sa.Column("came_from", Long, nullable=False),
        sa.Column("begun_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("move"),
        **OPTIONS,
    )


def downgrade() -> None:
    """Drop the tables, and all mail with them."""
    for table in (
        "arrival", "departure", "recipient", "event", "attached", "attachment",
        "content", "message",
        "suppression", "lane", "courier", "stats", "batch",
    ):  # fmt: skip
        op.drop_table(f"outbox_{table}")
