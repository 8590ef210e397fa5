"""Limits of a lane, shared by all couriers of an outbox, on each database."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from flask_outbox.limits import Limit
from flask_outbox.outbox import Outbox

from . import elsewhere
from .conftest import Opener
from .elsewhere import Process
from .making import COURIER, OTHER_COURIER, Clock, put

TEN_A_SECOND = (Limit(10, 1),)


def _claim(
    outbox: Outbox,
    wanted: int = 100,
    courier: str = COURIER,
    waiting_on: str = "default",
    by: str = "default",
) -> tuple[int, float]:
    """How many were claimed, and when more may be."""
    claims, next_at = outbox.claim_within(courier, waiting_on, wanted, by, TEN_A_SECOND)
    return len(claims), next_at


def test_no_more_is_claimed_than_is_allowed(outbox: Outbox, clock: Clock) -> None:
    for _ in range(15):
        put(outbox)
    claimed, next_at = _claim(outbox)
    assert claimed == 10
    assert clock.now + 1 <= next_at <= clock.now + 1.02
    clock.now = next_at - 0.001
    assert _claim(outbox) == (0, next_at)
    clock.now = next_at + 0.001
    assert _claim(outbox) == (5, clock.now)


def test_no_more_is_claimed_than_wanted(outbox: Outbox, clock: Clock) -> None:
    for _ in range(5):
        put(outbox)
    assert _claim(outbox, wanted=2) == (2, clock.now)
    assert _claim(outbox, wanted=9) == (3, clock.now)


def test_an_empty_claim_uses_no_allowance(outbox: Outbox, clock: Clock) -> None:
    for _ in range(3):
        assert _claim(outbox) == (0, clock.now)
    for _ in range(10):
        put(outbox)
    assert _claim(outbox)[0] == 10


def test_couriers_share_the_limit(outbox: Outbox, other: Outbox) -> None:
    for _ in range(30):
        put(outbox)
    assert _claim(outbox, wanted=7)[0] == 7
    assert _claim(other, courier=OTHER_COURIER)[0] == 3
    assert _claim(outbox)[0] == 0


def test_couriers_that_claim_at_the_same_moment_share_the_limit(
    outbox: Outbox, url: str, opener: Opener
) -> None:
    """The first time too, when nothing is written down of the lane."""
    for _ in range(40):
        put(outbox)
    couriers = 4
    outboxes = [opener(url) for _ in range(couriers)]
    start = threading.Barrier(couriers)

    def work(number: int) -> int:
        start.wait()
        courier = f"01COURIER{number:017}"
        return sum(_claim(outboxes[number], 3, courier)[0] for _ in range(4))

    with ThreadPoolExecutor(couriers) as pool:
        claimed = list(pool.map(work, range(couriers)))
    assert sum(claimed) == 10, claimed


def test_processes_share_the_limit(url: str, outbox: Outbox) -> None:
    for _ in range(60):
        put(outbox, due_at=0.0)
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                Process(elsewhere.claim_within, url, f"courier-{number}", "40/h")
            )
            for number in range(3)
        ]
        for process in processes:
            assert process.hear() == "ready"
        for process in processes:
            process.say()
        claimed = [process.hear() for process in processes]
    assert sum(claimed) == 40, claimed


def test_a_fallback_lane_uses_its_own_limit(outbox: Outbox) -> None:
    for _ in range(8):
        put(outbox, lane="default")
        put(outbox, lane="backup")
    assert _claim(outbox, waiting_on="default", by="backup")[0] == 8
    assert _claim(outbox, waiting_on="backup", by="backup")[0] == 2
    put(outbox, lane="default")
    assert _claim(outbox, waiting_on="default", by="default")[0] == 1


def test_a_pause_keeps_the_used_allowance(outbox: Outbox, clock: Clock) -> None:
    for _ in range(20):
        put(outbox)
    _claim(outbox)
    outbox.pause_lane("default", clock.now + 30, "refused")
    outbox.pause_lane_by_operator("default", "enough")
    assert [one.paused_by for one in outbox.lanes()] == ["person"]
    outbox.resume_lane_by_operator("default")
    assert [one.paused_by for one in outbox.lanes()] == ["trouble"]
    outbox.resume_lane("default")
    assert [one.paused_by for one in outbox.lanes()] == [None]
    assert _claim(outbox)[0] == 0
