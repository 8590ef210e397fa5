"""A move is killed at each of its steps, and the next one finishes what it began."""

from __future__ import annotations

import pytest

from flask_outbox.outbox import Database, Outbox
from flask_outbox.outbox.transfer import Move
from tests.crash.conftest import Start
from tests.moving.carrying import carry_all, ids_in
from tests.moving.jobs import POINTS, RARE, SMALL_BATCH, move_all
from tests.moving.places import CYCLE
from tests.outbox.making import COURIER, LEASE_SECONDS, kinds, put, sent

MESSAGES = 2 * SMALL_BATCH * len(POINTS)


@pytest.mark.parametrize("pair", CYCLE, ids="-".join)
def test_a_move_killed_at_any_step_is_finished_by_the_next(
    urls: tuple[str, str], start: Start
) -> None:
    source, target = (Outbox(Database(url)) for url in urls)
    source.database.upgrade()
    waiting = {put(source) for _ in range(MESSAGES)}
    finished = _deliver(source, waiting, MESSAGES // 3)
    whole = waiting | finished

    for step in POINTS:
        if step == "at the end":
            whole |= {put(source)}
        mover = start(move_all, *urls, step, 1 if step in RARE else 2)
        mover.wait_until_killed()
        assert ids_in(source) | ids_in(target) == whole, step

    put(source)
    moved = ids_in(source)
    carry_all(Move(source, target))

    assert ids_in(source) == set()
    assert ids_in(target) == whole | moved
    for one in whole:
        assert kinds(target, one).count("moved") == 1
        assert target.content(one) is not None
    assert {one.id for one in target.claim(COURIER, "default", 1_000)} == (
        (whole | moved) - finished
    )
    for outbox in (source, target):
        outbox.database.close()


def _deliver(outbox: Outbox, ids: set[str], messages: int) -> set[str]:
    outbox.register(COURIER, "thread", LEASE_SECONDS)
    claims = outbox.claim(COURIER, "default", messages)
    outbox.record([sent(held, outbox.clock()) for held in claims])
    outbox.resign(COURIER)
    return {held.id for held in claims} & ids
