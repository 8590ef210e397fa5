"""The first event of a message is told by its own row."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

Long: sa.Text = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    """Take the detail of each *enqueued* event into its message's row."""
    op.add_column("outbox_message", sa.Column("enqueued", Long, nullable=True))
    op.execute(
        "UPDATE outbox_message SET enqueued = ("
        "SELECT min(detail) FROM outbox_event"
        " WHERE message_id = outbox_message.id AND kind = 'enqueued')"
    )
    op.execute("DELETE FROM outbox_event WHERE kind = 'enqueued'")


def downgrade() -> None:
    """Make an event of each message's detail again."""
    op.execute(
        "INSERT INTO outbox_event (message_id, at, kind, detail)"
        " SELECT id, enqueued_at, 'enqueued', enqueued FROM outbox_message"
    )
    op.drop_column("outbox_message", "enqueued")
