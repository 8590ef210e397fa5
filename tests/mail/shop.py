"""A shop whose orders and mail are stored in one database, in shared transactions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import URL, Connection, Engine, create_engine, event, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from flask_outbox import Message, MessageNotFound, Receipt
from tests.mail.site import ADA, Site

KINDS = ("flask-sqlalchemy", "session", "connection")
"""The kinds of objects that hold a transaction."""


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "shop_order"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class Shop:
    """One site, its engine, and one holder of transactions (``till``) of some kind."""

    def __init__(self, site: Site, engine: Engine, till: Any) -> None:
        self.site = site
        self.engine = engine
        self.till = till

    def order(self, number: int, **options: Any) -> Receipt:
        """Add an order and its mail to the till's transaction."""
        self.till.execute(Order.__table__.insert().values(number=number))  # type: ignore[attr-defined]
        return self.send(number, **options)

    def send(self, number: int = 0, **options: Any) -> Receipt:
        """Send a mail in the till's transaction."""
        options.setdefault("session", self.till)
        return self.site.mail.send(
            Message(f"Order {number}", [ADA], "Thank you\n"), **options
        )

    def orders(self) -> list[int]:
        """The committed orders."""
        with self.engine.connect() as connection:
            return list(connection.scalars(select(Order.number)))

    def kept(self, *receipts: Receipt) -> list[bool]:
        """Whether each mail is committed."""
        return [self._is_kept(receipt) for receipt in receipts]

    def rows(self) -> int:
        """How many rows all tables of the outbox have."""
        from flask_outbox.outbox.schema import content, message, recipient
        from flask_outbox.outbox.schema import event as events

        with self.site.outbox.database.reading() as connection:
            return sum(
                connection.scalar(select(func.count()).select_from(table)) or 0
                for table in (message, content, recipient, events)
            )

    def _is_kept(self, receipt: Receipt) -> bool:
        try:
            self.site.get(receipt)
        except MessageNotFound:
            return False
        return True


def begins_properly(engine: Engine) -> None:
    """Have Python's SQLite driver leave transactions to SQLAlchemy."""
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def leave(driver: Any, _record: object) -> None:
        driver.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")


@contextmanager
def engine_on(url: str | URL, **options: Any) -> Iterator[Engine]:
    """An engine of the app's own; no connection outlives the block."""
    engine = create_engine(url, **options)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def opened(site: Site, url: str, kind: str) -> Iterator[Shop]:
    """A new shop on the database ``url``; it leaves nothing behind."""
    make_tables(url)
    try:
        with engine_on(url) as engine:
            begins_properly(engine)
            with till_of(site, engine, url, kind) as till:
                yield Shop(site, engine, till)
    finally:
        drop_tables(url)


def make_tables(url: str) -> None:
    """The shop's own, by an engine that waits for SQLite's lock."""
    with engine_on(url) as engine:
        Base.metadata.create_all(engine)


def drop_tables(url: str) -> None:
    with engine_on(url) as engine:
        Base.metadata.drop_all(engine)


@contextmanager
def till_of(site: Site, engine: Engine, url: str, kind: str) -> Iterator[Any]:
    """Something to begin transactions with."""
    if kind == "session":
        with Session(engine) as session:
            yield session
    elif kind == "connection":
        with engine.connect() as connection:
            yield connection
    else:
        site.app.config["SQLALCHEMY_DATABASE_URI"] = url
        db = SQLAlchemy(site.app)
        with site.app.app_context():
            begins_properly(db.engine)
            try:
                yield db.session
            finally:
                db.session.remove()
                db.engine.dispose()
