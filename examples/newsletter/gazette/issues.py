"""Issues: one letter for each reader, written by the courier that delivers it."""

from collections.abc import Iterable, Iterator

from sqlalchemy import func, select

from flask_outbox import BatchReceipt, Mail

from .models import Reader, db

TAG = "newsletter"
"""The list that readers leave by the link in a letter."""

mail = Mail()


def count_readers() -> int:
    """How many there are."""
    return db.session.scalar(select(func.count(Reader.id))) or 0


def readers() -> Iterator[Reader]:
    """Everyone, read from the database as they are asked for."""
    return iter(
        db.session.scalars(
            select(Reader).order_by(Reader.id).execution_options(yield_per=1_000)
        )
    )


def send_to(title: str, to: Iterable[Reader]) -> BatchReceipt:
    """Hand an issue over; once more, where that broke off, it goes on from there."""
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
