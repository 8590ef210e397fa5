"""What a courier has in hand, and how many places that leaves on each lane."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from flask_outbox.courier.holding import OFFER_SECONDS, Holding
from tests.waiting import WAIT_SECONDS


def test_a_lane_that_is_full_takes_no_place_from_another():
    holding = Holding({})
    assert holding.offer("A", "bulk", None, 2)
    assert holding.offer("B", "bulk", None, 2)
    assert not holding.offer("C", "bulk", None, 2)
    assert holding.reserve("bulk", 2).places == 0
    assert holding.reserve("default", 2).places == 2


def test_what_was_reserved_and_not_filled_is_free_again():
    holding = Holding({})
    reserved = holding.reserve("default", 5)
    assert reserved.places == 5
    assert not holding.free("default", 5)
    holding.fill(reserved, [("A", None, 0), ("B", "news", 0)])
    assert len(holding) == 2
    assert holding.reserve("default", 5).places == 3


def test_a_tag_has_no_more_places_than_it_may_have():
    """Neither by offers nor by claims, nor by both at once; and on each lane anew."""
    holding = Holding({"news": 2})
    assert holding.offer("A", "default", "news", 5)
    reserved = holding.reserve("default", 3)
    assert (reserved.places, reserved.room) == (2, {"news": 1})
    assert not holding.offer("B", "default", "news", 5)
    assert holding.offer("C", "default", "orders", 5)
    holding.fill(reserved, [("D", "news", 0), ("E", "orders", 0)])
    assert holding.full_tags("default") == {"news"}
    assert holding.full_tags("bulk") == set()
    holding.remove("D")
    holding.remove("E")
    assert holding.full_tags("default") == set()
    assert holding.offer("B", "default", "news", 5)
    assert not holding.offer("F", "default", "news", 5)


def test_a_message_that_is_claimed_again_before_its_end_was_noted_stays_held():
    """Or its new lease would look like a stray, and it would be delivered twice."""
    holding = Holding({})
    assert holding.offer("A", "default", None, 2)
    holding.fill(holding.reserve("default", 2), [("A", None, 0)])
    holding.remove("A")
    assert "A" in holding
    holding.remove("A")
    assert "A" not in holding
    assert holding.reserve("default", 2).places == 2


def test_what_is_not_held_may_be_let_go_of():
    holding = Holding({})
    holding.remove("A")
    assert holding.reserve("default", 1).places == 1


def test_waiting_ends_with_the_last_of_them():
    holding = Holding({})
    for one in ("A", "B", "C"):
        assert holding.offer(one, "default", None, 3)
    with ThreadPoolExecutor(1) as alone:
        waiting = alone.submit(holding.wait_until_gone, ["A", "B"], WAIT_SECONDS)
        holding.remove("A")
        assert not waiting.done()
        holding.remove("B")
        assert waiting.result(WAIT_SECONDS)


def test_waiting_ends_with_its_time():
    holding = Holding({})
    assert holding.offer("A", "default", None, 1)
    assert not holding.wait_until_gone(["A"], 0.01)
    assert holding.wait_until_gone(["B"], 0.01)


def test_only_what_nobody_works_on_is_idle():
    now = [0.0]
    holding = Holding({"news": 1}, lambda: now[0])
    assert holding.offer("offered", "default", None, 5)
    assert holding.offer("accepted", "default", "news", 5)
    holding.accept("accepted")
    for _ in range(2):
        reserved = holding.reserve("default", 5)
        holding.fill(reserved, [("claimed", None, 0), ("worked on", None, 0)])
    assert set(holding.let_go_of_idle({"worked on"})) == {"accepted", "claimed"}
    assert holding.full_tags("default") == set()
    assert holding.reserve("default", 5).places == 2
    assert holding.let_go_of_idle({"worked on"}) == []


def test_what_was_offered_and_never_came_is_idle_in_the_end():
    now = [0.0]
    holding = Holding({}, lambda: now[0])
    assert holding.offer("A", "default", None, 5)
    now[0] = OFFER_SECONDS - 1
    assert holding.let_go_of_idle(()) == []
    now[0] = OFFER_SECONDS
    assert holding.let_go_of_idle(()) == ["A"]


def test_what_is_in_hand_of_a_lane_weighs_no_more_than_it_may():
    holding = Holding({}, most_bytes=100)
    assert holding.offer("A", "default", None, 5, 60)
    assert not holding.offer("B", "default", None, 5, 60)
    assert holding.offer("B", "bulk", None, 5, 60)
    reserved = holding.reserve("default", 5)
    assert (reserved.load.room_bytes, reserved.load.alone) == (40, False)
    holding.fill(reserved, [("C", None, 40)])
    holding.remove("A")
    assert holding.offer("D", "default", None, 5, 60)


def test_a_message_that_is_heavier_than_all_may_be_goes_alone():
    holding = Holding({}, most_bytes=100)
    assert holding.offer("A", "default", None, 5, 500)
    assert not holding.offer("B", "default", None, 5, 1)
    holding.remove("A")
    assert holding.offer("B", "default", None, 5, 1)


def test_nothing_overtakes_what_waits_for_room():
    holding = Holding({}, most_bytes=100)
    assert holding.offer("A", "default", None, 5, 60)
    reserved = holding.reserve("default", 5)
    reserved.load.left_bytes = 70
    holding.fill(reserved)
    assert not holding.free("default", 5)
    assert not holding.offer("B", "default", None, 5, 1)
    holding.remove("A")
    assert holding.free("default", 5)
