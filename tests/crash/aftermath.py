"""What is left when all is over: what was accepted, what arrived, what is recorded."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from flask_outbox.outbox.schema import message
from flask_outbox.outbox.store import Outbox
from tests.crash import journal
from tests.crash.lives import Trace
from tests.servers import Mail


@dataclass(frozen=True)
class Aftermath:
    """What was accepted (Message-IDs), what arrived, what the killed had come to."""

    accepted: frozenset[str]
    arrived: tuple[Mail, ...]
    traces: tuple[Trace, ...]

    @property
    def copies(self) -> Counter[str]:
        """Message-ID → how often it arrived."""
        return Counter(mail.message_id for mail in self.arrived)

    @property
    def duplicates(self) -> int:
        """How many copies arrived beyond the first of each."""
        return len(self.arrived) - len(self.copies)

    @property
    def past_the_final_dot(self) -> Counter[str]:
        """Message-ID → at how many kills it may have been through, unrecorded."""
        return Counter(one for trace in self.traces for one in trace.through)

    @property
    def unexplained(self) -> dict[str, int]:
        """Message-ID → copies beyond the first that no kill explains."""
        return dict(self.copies - Counter(set(self.copies)) - self.past_the_final_dot)

    @property
    def changed(self) -> dict[str, set[str]]:
        """Message-ID or subject → contents or Message-IDs, where there are several."""
        kinds: dict[str, set[str]] = defaultdict(set)
        for mail in self.arrived:
            kinds[mail.message_id].add(mail.content.decode())
            kinds[_subject(mail)].add(mail.message_id)
        return {name: several for name, several in kinds.items() if len(several) > 1}


def accepted(path: Path) -> frozenset[str]:
    """The Message-IDs with which ``send()`` has returned."""
    return frozenset(message_id for _, message_id in journal.read(path))


def states(outbox: Outbox) -> dict[str, str]:
    """Message-ID → the state of each message."""
    with outbox.database.reading() as connection:
        rows = connection.execute(select(message.c.message_id, message.c.state))
        return {row.message_id: row.state for row in rows}


def ids_in(outbox: Outbox, state: str) -> list[str]:
    """The ids of all messages in a state."""
    with outbox.database.reading() as connection:
        found = select(message.c.id).where(message.c.state == state)
        return list(connection.scalars(found))


def _subject(mail: Mail) -> str:
    lines = mail.content.decode().split("\r\n")
    return next(line for line in lines if line.startswith("Subject:"))
