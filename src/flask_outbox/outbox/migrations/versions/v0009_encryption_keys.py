"""The keys with which the outbox's contents are encrypted."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from flask_outbox.outbox.ddl import OPTIONS

revision = "0009"
down_revision = "0008"

Long: sa.Text = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "outbox_encryption_key",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("proof", Long, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        **OPTIONS,
    )


def downgrade() -> None:
    """Remove the table."""
    op.drop_table("outbox_encryption_key")
