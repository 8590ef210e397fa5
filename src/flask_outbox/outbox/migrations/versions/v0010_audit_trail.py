"""The audit trail: who did what."""

import sqlalchemy as sa
from alembic import op

from flask_outbox.outbox.ddl import OPTIONS

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "outbox_audit",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("face", sa.String(length=16), nullable=False),
        sa.Column("act", sa.String(length=32), nullable=False),
        sa.Column("target", sa.String(length=255), nullable=False),
        sa.Column("many", sa.Integer(), nullable=False),
        sa.Column("note", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
        **OPTIONS,
    )
    op.create_index("outbox_audit_target", "outbox_audit", ["target", "id"])
    op.create_index("outbox_audit_actor", "outbox_audit", ["actor", "id"])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("outbox_audit")
