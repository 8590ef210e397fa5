"""Issues: one letter for each reader, rendered by the courier that delivers it."""

from collections.abc import Iterable, Iterator

from sqlalchemy import func, select

from flask_outbox import BatchReceipt, Mail

from .models import Reader, db

TAG = "newsletter"
"""The list that readers unsubscribe from."""

mail = Mail()


def count_readers() -> int:
    """The number of readers."""
    return db.session.scalar(select(func.count(Reader.id))) or 0


def readers() -> Iterator[Reader]:
    """All readers, streamed from the database."""
    return iter(
        db.session.scalars(
            select(Reader).order_by(Reader.id).execution_options(yield_per=1_000)
        )
    )


def send_to(title: str, to: Iterable[Reader]) -> BatchReceipt:
    """Send an issue; called again after an interruption, it continues."""
    rows = (
        ((reader.name, reader.email), {"title": title, "name": reader.name})
        for reader in to
    )
    return mail.send_many(
        "issue",
        rows,
        subject=title,
        name=title,
        key=title,
        tag=TAG,
        unsubscribe=True,
    )
