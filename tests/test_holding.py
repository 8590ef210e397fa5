"""What a courier has in hand, and how many places that leaves on each lane."""

from __future__ import annotations

from flask_outbox.courier.holding import Holding


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
