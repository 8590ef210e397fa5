"""Alerts, and which of their news are told."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from flask_outbox.outbox.ddl import OPTIONS

revision = "0007"
down_revision = "0006"

Long: sa.Text = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "outbox_alert",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("lane", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("words", Long, nullable=False),
        sa.Column("reason", Long, nullable=False),
        sa.Column("began_at", sa.Double(), nullable=False),
        sa.Column("calm_since", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("told", sa.String(length=16), nullable=True),
        sa.Column("telling_until", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("kind", "lane"),
        **OPTIONS,
    )


def downgrade() -> None:
    """Remove the table."""
    op.drop_table("outbox_alert")
