"""Which messages are sensitive."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make room for it; the messages that are there are not."""
    op.add_column(
        "outbox_message", sa.Column("sensitive", sa.SmallInteger(), nullable=True)
    )


def downgrade() -> None:
    """Forget it: what is left of their contents can be read again."""
    op.drop_column("outbox_message", "sensitive")
