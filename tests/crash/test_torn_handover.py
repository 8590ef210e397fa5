"""Processes killed inside ``send()``: each mail is there whole, or not at all."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, select

from flask_outbox.outbox import Outbox
from tests.crash.aftermath import accepted
from tests.crash.child import Child, Job
from tests.crash.jobs import ORDERS, Config, order_on, send_on
from tests.crash.wholeness import whole_messages
from tests.waiting import eventually

MAILS = 8
"""How many mails a sender has had accepted, at most, when its end comes near."""

MORE_SECONDS = 0.02
"""How much longer it lives, at most: about as long as a ``send()`` takes."""

THREADS = 4
"""Senders in one process, which share commits."""

KEEPS = {"MAIL_URL": "inbox://", "OUTBOX_ENGINE": "external"}
"""Nothing leaves here: it is all about what is kept."""

KILLS = [
    pytest.param(5, id="short"),
    pytest.param(500, id="long", marks=pytest.mark.long),
]


@pytest.fixture
def orders(url: str) -> Iterator[Engine]:
    """The app's own database, which is the outbox's, with a table of its own."""
    engine = create_engine(url)
    ORDERS.create(engine)
    yield engine
    engine.dispose()


def _kill_senders(
    kills: int, job: Job, config: Config, journal: Path, *rest: Any
) -> None:
    """Kill one sender after another, each after some of its mails."""
    dice = random.Random("a sender")
    for number in range(kills):
        wanted = len(accepted(journal)) + dice.randint(0, MAILS)
        with Child(job, f"sender-{number}", config, journal, *rest) as sender:
            assert sender.hear() == "at work"
            eventually(partial(_has, journal, wanted))
            time.sleep(dice.uniform(0, MORE_SECONDS))


def _has(journal: Path, mails: int) -> bool:
    return len(accepted(journal)) >= mails


@pytest.mark.parametrize("kills", KILLS)
def test_a_killed_send_stores_all_of_a_mail_or_nothing(
    kills: int, url: str, outbox: Outbox, tmp_path: Path
):
    config = {**KEEPS, "OUTBOX_URL": url}
    journal = tmp_path / "accepted"
    _kill_senders(kills, send_on, config, journal, THREADS)

    found = whole_messages(outbox)
    print(f"{len(found)} mails, {len(accepted(journal))} accepted, {kills} kills")
    assert accepted(journal) <= found.keys()
    assert len(found) - len(accepted(journal)) <= kills * THREADS
    assert len(set(found.values())) == len(found)
    assert len(found) > kills


@pytest.mark.parametrize("kills", KILLS)
def test_a_mail_exists_if_and_only_if_its_transaction_committed(
    kills: int, url: str, outbox: Outbox, orders: Engine, tmp_path: Path
):
    config = {**KEEPS, "OUTBOX_URL": url}
    journal = tmp_path / "accepted"
    _kill_senders(kills, order_on, config, journal)

    found = whole_messages(outbox)
    with orders.connect() as connection:
        ordered = connection.scalars(select(ORDERS.c.name)).all()
    print(f"{len(ordered)} orders, {len(accepted(journal))} accepted, {kills} kills")
    assert sorted(found.values()) == sorted(ordered)
    assert accepted(journal) <= found.keys()
    assert len(found) > kills
