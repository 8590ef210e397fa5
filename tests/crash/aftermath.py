"""What is left when all is over: what was accepted, what arrived, what is recorded."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import select

from flask_outbox.outbox.schema import message
from flask_outbox.outbox.store import Outbox
from tests.crash import journal
from tests.crash.lives import Trace
from tests.servers import Mail


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


def accepted(path: Path) -> set[str]:
    """The Message-IDs that ``send()`` has answered with."""
    return {message_id for _, message_id in journal.read(path)}


def copies(mails: Iterable[Mail]) -> Counter[str]:
    """Message-ID → how often it arrived."""
    return Counter(mail.message_id for mail in mails)


def unexplained(mails: Iterable[Mail], traces: Iterable[Trace]) -> dict[str, int]:
    """Message-ID → copies beyond the one, and those that a kill explains."""
    explained = Counter(one for trace in traces for one in trace.through)
    return {
        message_id: count - 1 - explained[message_id]
        for message_id, count in copies(mails).items()
        if count - 1 > explained[message_id]
    }


def changed(mails: Iterable[Mail]) -> dict[str, set[str]]:
    """Message-ID or subject → the contents or Message-IDs, where there are several."""
    kinds: dict[str, set[str]] = defaultdict(set)
    for mail in mails:
        kinds[mail.message_id].add(mail.content.decode())
        kinds[_subject(mail)].add(mail.message_id)
    return {name: several for name, several in kinds.items() if len(several) > 1}


def _subject(mail: Mail) -> str:
    lines = mail.content.decode().split("\r\n")
    return next(line for line in lines if line.startswith("Subject:"))
