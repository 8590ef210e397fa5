"""Totals that outlast what they count."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from flask_outbox.outbox.ddl import OPTIONS

revision = "0006"
down_revision = "0005"

Long: sa.Text = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")

SUMS = ("waits_seconds", "durations_seconds")


def upgrade() -> None:
    """Make room for sums and totals, and count suppressions by an index."""
    for name in SUMS:
        op.add_column("outbox_stats", sa.Column(name, sa.Double(), nullable=True))
    op.create_table(
        "outbox_tally",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("counted_to", sa.String(length=26), nullable=False),
        sa.Column("counts", Long, nullable=False),
        sa.PrimaryKeyConstraint("name"),
        **OPTIONS,
    )
    op.create_index("outbox_suppression_source", "outbox_suppression", ["source"])


def downgrade() -> None:
    """Forget sums and totals."""
    op.drop_index("outbox_suppression_source", "outbox_suppression")
    op.drop_table("outbox_tally")
    op.execute("DELETE FROM outbox_stats WHERE at = 0")
    for name in SUMS:
        op.drop_column("outbox_stats", name)
