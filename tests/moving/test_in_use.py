"""An outbox is moved while mail is handed over to it and delivered from both."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from flask_outbox.outbox import Database, Outbox
from flask_outbox.outbox.schema import event, message
from flask_outbox.outbox.transfer import Move
from tests.crash.aftermath import accepted
from tests.crash.child import Child
from tests.crash.conftest import Start
from tests.crash.jobs import Config, deliver, send_on
from tests.crash.mail_server import MailServer
from tests.moving.carrying import carry_all
from tests.moving.jobs import POINTS, RARE, move_on
from tests.moving.places import CYCLE
from tests.waiting import eventually

PASSES = 6
"""How often a move passes its step, at most, until it is killed there."""

PAUSE_SECONDS = 0.05
"""How long a sender waits between two mails: they come all the while, not in heaps."""

DRAIN_SECONDS = 180.0
"""How long couriers may take with the rest: far longer than they need."""


@pytest.fixture
def mail_server(tmp_path: Path) -> Iterator[MailServer]:
    """A server that outlives the test's other processes."""
    with MailServer(tmp_path / "arrived") as server:
        yield server


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(4, id="short"),
        pytest.param(60, id="long", marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize("pair", CYCLE, ids="-".join)
def test_each_mail_is_sent_once_during_a_move(
    kills: int,
    pair: tuple[str, str],
    urls: tuple[str, str],
    mail_server: MailServer,
    start: Start,
    tmp_path: Path,
) -> None:
    source, target = (Outbox(Database(url)) for url in urls)
    for outbox in (source, target):
        outbox.database.upgrade()
    handed_over = tmp_path / "accepted"
    here, there = (_config(url, mail_server) for url in urls)
    senders = [
        start(
            send_on,
            name,
            {**app, "OUTBOX_ENGINE": "external"},
            handed_over,
            1,
            PAUSE_SECONDS,
        )
        for name, app in (("old-1", here), ("old-2", here), ("new", there))
    ]
    couriers = [start(deliver, one) for one in (here, there)]
    for child in (*senders, *couriers):
        assert child.hear() == "at work"

    _move_and_be_killed(start, urls, kills, CYCLE.index(pair) * kills)
    for child in senders:
        child.kill()
    patience = DRAIN_SECONDS + kills
    eventually(lambda: _moved(source, target), patience)
    eventually(lambda: not target.anything_due(), patience)

    arrived = Counter(mail.rfc_message_id for mail in mail_server.mails)
    wanted = accepted(handed_over)
    carried = _carried_waiting(target)
    print(f"{len(wanted)} accepted, {carried} carried to wait, {kills} moves killed")
    assert carried > 0
    assert wanted - arrived.keys() == set(), "lost"
    assert {one: count for one, count in arrived.items() if count > 1} == {}, "doubled"
    assert _sent(target) == set(arrived)
    for child in couriers:
        child.kill()
    for outbox in (source, target):
        outbox.database.close()


def _config(url: str, server: MailServer) -> Config:
    """An app whose couriers look often."""
    return {"OUTBOX_URL": url, "OUTBOX_POLL_SECONDS": 0.1, "MAIL_URL": server.url}


def _move_and_be_killed(
    start: Start, urls: tuple[str, str], kills: int, first: int
) -> None:
    """One move after the other, each killed at a step, from the ``first`` on.

    Four for each pair of databases are all steps, once.
    """
    dice = random.Random("a move")
    steps = sorted(POINTS.keys() - {"at the end"})
    for number in range(first, first + kills):
        step = steps[number % len(steps)]
        passes = 1 if step in RARE else dice.randint(1, PASSES)
        mover: Child = start(move_on, *urls, step, passes)
        mover.wait_until_killed()


def _moved(source: Outbox, target: Outbox) -> bool:
    move = Move(source, target)
    carry_all(move)
    return move.left().messages == 0


def _carried_waiting(outbox: Outbox) -> int:
    """How many messages were delivered here after they had moved here."""
    moved, sent = event.alias(), event.alias()
    both = select(func.count(moved.c.message_id.distinct())).join(
        sent, (sent.c.message_id == moved.c.message_id) & (sent.c.id > moved.c.id)
    )
    both = both.where(moved.c.kind == "moved", sent.c.kind == "sent")
    with outbox.database.reading() as connection:
        return connection.scalar(both) or 0


def _sent(outbox: Outbox) -> set[str]:
    """The Message-IDs of all messages, each of which must have been sent."""
    with outbox.database.reading() as connection:
        rows = connection.execute(
            select(message.c.rfc_message_id, message.c.state)
        ).all()
    assert {row.state for row in rows} == {"sent"}
    return {row.rfc_message_id for row in rows}
