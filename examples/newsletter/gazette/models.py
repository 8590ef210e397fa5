"""What is kept: the readers."""

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """What all tables have in common."""


db = SQLAlchemy(metadata=Base.metadata)


class Reader(Base):
    """Who gets each issue, unless they have unsubscribed: the outbox knows that."""

    __tablename__ = "reader"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
