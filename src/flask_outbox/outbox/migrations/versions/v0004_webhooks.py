"""Webhooks: their endpoints, and what these are to be told."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from flask_outbox.outbox.ddl import OPTIONS

revision = "0004"
down_revision = "0003"

Long: sa.Text = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "outbox_webhook_endpoint",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("copied_to", sa.BigInteger(), nullable=False),
        sa.Column("gaps", Long, nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("paused_by", sa.String(length=10), nullable=True),
        sa.Column("paused_at", sa.Double(), nullable=True),
        sa.Column("paused_until", sa.Double(), nullable=True),
        sa.Column("reason", Long, nullable=True),
        sa.PrimaryKeyConstraint("name"),
        **OPTIONS,
    )
    op.create_table(
        "outbox_webhook",
        sa.Column("endpoint", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("message_id", sa.String(length=26), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("body", Long, nullable=False),
        sa.Column("queued_at", sa.Double(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("give_up_at", sa.Double(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("error", Long, nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("endpoint", "id"),
        **OPTIONS,
    )
    op.create_index(
        "outbox_webhook_due", "outbox_webhook", ["endpoint", "state", "due_at"]
    )
    finished = sa.text("finished_at IS NOT NULL")
    op.create_index(
        "outbox_webhook_finished",
        "outbox_webhook",
        ["finished_at"],
        sqlite_where=finished,
        postgresql_where=finished,
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("outbox_webhook")
    op.drop_table("outbox_webhook_endpoint")
