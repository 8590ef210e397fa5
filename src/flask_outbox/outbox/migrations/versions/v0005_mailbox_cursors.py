"""How far each mailbox is read into which reports about mail come."""

import sqlalchemy as sa
from alembic import op

from flask_outbox.outbox.ddl import OPTIONS

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "outbox_mailbox",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("uid_validity", sa.BigInteger(), nullable=False),
        sa.Column("uid", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        **OPTIONS,
    )


def downgrade() -> None:
    """Remove the table."""
    op.drop_table("outbox_mailbox")
