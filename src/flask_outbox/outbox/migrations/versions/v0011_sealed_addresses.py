"""Room for encrypted addresses and keys, and for the look-up key."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0011"
down_revision = "0010"

Long: sa.Text = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")

WIDER = (
    ("outbox_message", "key", 720, True),
    ("outbox_batch", "key", 720, True),
    ("outbox_message", "return_path", 400, False),
    ("outbox_recipient", "address", 400, False),
    ("outbox_provider_id", "address", 400, False),
    ("outbox_feedback", "address", 400, True),
    ("outbox_suppression", "address", 400, False),
    ("outbox_pardon", "address", 400, False),
)
"""Tables, columns, their new lengths, and whether they may be NULL."""


def upgrade() -> None:
    """Widen the columns, where a database limits them, and add one."""
    name = op.get_bind().dialect.name
    if name != "sqlite":
        for table, column, length, nullable in WIDER:
            op.alter_column(
                table,
                column,
                existing_nullable=nullable,
                type_=_type(name, table, length),
            )
    op.add_column("outbox_encryption_key", sa.Column("lookup", Long, nullable=True))


def _type(dialect: str, table: str, length: int) -> sa.String:
    """Recipients are in the order of their bytes on PostgreSQL."""
    ordered = dialect == "postgresql" and table == "outbox_recipient"
    more: dict[str, Any] = {"collation": "C"} if ordered else {}
    return sa.String(length, **more)


def downgrade() -> None:
    """Remove the column. Those that were widened stay so: they may need it."""
    op.drop_column("outbox_encryption_key", "lookup")
