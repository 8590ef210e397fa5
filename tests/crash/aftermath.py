"""The result of a crash test: what was accepted, what arrived, what is recorded."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from flask_outbox.outbox import Outbox
from flask_outbox.outbox.schema import message
from tests.crash import journal
from tests.crash.lives import Trace
from tests.servers import Mail


@dataclass(frozen=True)
class Aftermath:
    """Accepted Message-IDs, mails that arrived, and how far killed processes came."""

    accepted: frozenset[str]
    arrived: tuple[Mail, ...]
    traces: tuple[Trace, ...]

    @property
    def copies(self) -> Counter[str]:
        """Message-ID → how often it arrived."""
        return Counter(mail.rfc_message_id for mail in self.arrived)

    @property
    def duplicates(self) -> int:
        """How many copies arrived beyond the first of each."""
        return len(self.arrived) - len(self.copies)

    @property
    def past_the_final_dot(self) -> Counter[str]:
        """Message-ID → kills at which it may have been sent but not recorded."""
        return Counter(one for trace in self.traces for one in trace.through)

    @property
    def unexplained(self) -> dict[str, int]:
        """Message-ID → number of duplicates that no kill explains."""
        return dict(self.copies - Counter(set(self.copies)) - self.past_the_final_dot)

    @property
    def changed(self) -> dict[str, set[str]]:
        """Message-ID or subject → its contents or Message-IDs, if they differ."""
        kinds: dict[str, set[str]] = defaultdict(set)
        for mail in self.arrived:
            kinds[mail.rfc_message_id].add(mail.content.decode())
            kinds[_subject(mail)].add(mail.rfc_message_id)
        return {name: several for name, several in kinds.items() if len(several) > 1}


def accepted(path: Path) -> frozenset[str]:
    """The Message-IDs of messages that ``send()`` accepted."""
    return frozenset(message_id for _, message_id in journal.read(path))


def states(outbox: Outbox) -> dict[str, str]:
    """Message-ID → the state of each message."""
    with outbox.database.reading() as connection:
        rows = connection.execute(select(message.c.rfc_message_id, message.c.state))
        return {row.rfc_message_id: row.state for row in rows}


def ids_in(outbox: Outbox, state: str) -> list[str]:
    """The ids of all messages in a state."""
    with outbox.database.reading() as connection:
        found = select(message.c.id).where(message.c.state == state)
        return list(connection.scalars(found))


def _subject(mail: Mail) -> str:
    lines = mail.content.decode().split("\r\n")
    return next(line for line in lines if line.startswith("Subject:"))
