"""Issues: one letter for each reader, written by the courier that delivers it."""

from collections.abc import Iterable, Iterator

from sqlalchemy import func, select

from flask_outbox import BatchReceipt, Mail, Message

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


def letters(title: str, to: Iterable[Reader]) -> Iterator[Message]:
    """The letters, each made when it is asked for."""
    for reader in to:
        yield Message.from_template(
            "issue",
            subject=title,
            recipients=[(reader.name, reader.email)],
            render="later",
            context={"title": title, "name": reader.name},
        )


def send_to(title: str, to: Iterable[Reader]) -> BatchReceipt:
    """Hand an issue over; once more, where that broke off, it goes on from there."""
    return mail.send_many(
        letters(title, to), name=title, key=title, tag=TAG, unsubscribe=True
    )
