"""The tables: readers."""

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The base class of all tables."""


db = SQLAlchemy(metadata=Base.metadata)


class Reader(Base):
    """A reader, who gets each issue; the outbox knows who has unsubscribed."""

    __tablename__ = "reader"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
