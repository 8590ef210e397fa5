"""What happens after the next hop, and why an address is suppressed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from flask_outbox.outbox.ddl import OPTIONS

revision = "0003"
down_revision = "0002"

Long: sa.Text = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")

FATE = ("fate", "fate_at", "fate_text")


def upgrade() -> None:
    """Make room for fates, the reports that tell them, and evidence."""
    for name, type_ in zip(
        FATE, (sa.String(length=16), sa.Double(), Long), strict=True
    ):
        op.add_column("outbox_recipient", sa.Column(name, type_, nullable=True))
    _partial_index("outbox_recipient_fate", "outbox_recipient", ["fate", "message_id"])
    op.add_column("outbox_suppression", sa.Column("evidence", Long, nullable=True))
    op.create_table(
        "outbox_pardon",
        sa.Column("address", sa.String(length=255), nullable=False),
        sa.Column("list", sa.String(length=255), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("address", "list"),
        sqlite_with_rowid=False,
        **OPTIONS,
    )
    op.create_table(
        "outbox_provider_id",
        sa.Column("message_id", sa.String(length=26), nullable=False),
        sa.Column("address", sa.String(length=255), nullable=False),
        sa.Column("provider", sa.String(length=64), nullable=False),
        sa.Column("provider_id", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"], ["outbox_message.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("message_id", "address", "provider", "provider_id"),
        sqlite_with_rowid=False,
        **OPTIONS,
    )
    op.create_index(
        "outbox_provider_id_given", "outbox_provider_id", ["provider_id", "provider"]
    )
    op.create_table(
        "outbox_feedback",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("event_id", sa.String(length=255), nullable=False),
        sa.Column("received_at", sa.Double(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("fate", sa.String(length=16), nullable=False),
        sa.Column("address", sa.String(length=255), nullable=True),
        sa.Column("message_id", sa.String(length=26), nullable=True),
        sa.Column("named_id", sa.String(length=26), nullable=True),
        sa.Column("provider_id", sa.String(length=255), nullable=True),
        sa.Column("rfc_message_id", sa.String(length=998), nullable=True),
        sa.Column("operator", sa.SmallInteger(), nullable=False),
        sa.Column("words", Long, nullable=True),
        sa.Column("detail", Long, nullable=True),
        sa.Column("look_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
        **OPTIONS,
    )
    op.create_index(
        "outbox_feedback_event", "outbox_feedback", ["source", "event_id"], unique=True
    )
    op.create_index("outbox_feedback_address", "outbox_feedback", ["address", "at"])
    _partial_index("outbox_feedback_look", "outbox_feedback", ["look_at"])


def _partial_index(name: str, table: str, columns: list[str]) -> None:
    present = sa.text(f"{columns[0]} IS NOT NULL")
    op.create_index(
        name, table, columns, sqlite_where=present, postgresql_where=present
    )


def downgrade() -> None:
    """Forget what was reported."""
    for table in ("outbox_feedback", "outbox_provider_id", "outbox_pardon"):
        op.drop_table(table)
    op.drop_column("outbox_suppression", "evidence")
    op.drop_index("outbox_recipient_fate", "outbox_recipient")
    for name in FATE:
        op.drop_column("outbox_recipient", name)
