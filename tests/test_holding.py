"""What a courier has in hand, and how many places that leaves on each lane."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from flask_outbox.courier.holding import Holding
from tests.waiting import WAIT_SECONDS


def test_a_lane_that_is_full_takes_no_place_from_another():
    holding = Holding()
    assert holding.offer("A", "bulk", 2)
    assert holding.offer("B", "bulk", 2)
    assert not holding.offer("C", "bulk", 2)
    assert holding.reserve("bulk", 2) == 0
    assert holding.reserve("default", 2) == 2


def test_what_was_reserved_and_not_filled_is_free_again():
    holding = Holding()
    assert holding.reserve("default", 5) == 5
    assert not holding.free("default", 5)
    holding.fill("default", 5, ["A", "B"])
    assert len(holding) == 2
    assert holding.reserve("default", 5) == 3


def test_a_message_that_is_claimed_again_before_its_end_was_noted_stays_held():
    """Or its new lease would look like a stray, and it would be delivered twice."""
    holding = Holding()
    assert holding.offer("A", "default", 2)
    assert holding.reserve("default", 2) == 1
    holding.fill("default", 1, ["A"])
    holding.remove("A")
    assert "A" in holding
    holding.remove("A")
    assert "A" not in holding
    assert holding.reserve("default", 2) == 2


def test_what_is_not_held_may_be_let_go_of():
    holding = Holding()
    holding.remove("A")
    assert holding.reserve("default", 1) == 1


def test_waiting_ends_with_the_last_of_them():
    holding = Holding()
    for one in ("A", "B", "C"):
        assert holding.offer(one, "default", 3)
    with ThreadPoolExecutor(1) as alone:
        waiting = alone.submit(holding.wait_until_gone, ["A", "B"], WAIT_SECONDS)
        holding.remove("A")
        assert not waiting.done()
        holding.remove("B")
        assert waiting.result(WAIT_SECONDS)


def test_waiting_ends_with_its_time():
    holding = Holding()
    assert holding.offer("A", "default", 1)
    assert not holding.wait_until_gone(["A"], 0.01)
    assert holding.wait_until_gone(["B"], 0.01)
