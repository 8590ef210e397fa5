"""What a courier has in hand, and how many places that leaves on each lane."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from flask_outbox.courier.in_flight import ENQUEUE_SECONDS, InFlight
from tests.waiting import WAIT_SECONDS


def test_a_full_lane_takes_no_place_from_another():
    in_flight = InFlight({})
    assert in_flight.try_add("A", "bulk", None, 2)
    assert in_flight.try_add("B", "bulk", None, 2)
    assert not in_flight.try_add("C", "bulk", None, 2)
    assert in_flight.reserve("bulk", 2).places == 0
    assert in_flight.reserve("default", 2).places == 2


def test_an_unused_reservation_is_released():
    in_flight = InFlight({})
    reserved = in_flight.reserve("default", 5)
    assert reserved.places == 5
    assert not in_flight.free("default", 5)
    in_flight.fill(reserved, [("A", None, 0), ("B", "news", 0)])
    assert len(in_flight) == 2
    assert in_flight.reserve("default", 5).places == 3


def test_a_tag_is_limited_to_its_places():
    """Neither by offers nor by claims, nor by both at once; and on each lane anew."""
    in_flight = InFlight({"news": 2})
    assert in_flight.try_add("A", "default", "news", 5)
    reserved = in_flight.reserve("default", 3)
    assert (reserved.places, reserved.room) == (2, {"news": 1})
    assert not in_flight.try_add("B", "default", "news", 5)
    assert in_flight.try_add("C", "default", "orders", 5)
    in_flight.fill(reserved, [("D", "news", 0), ("E", "orders", 0)])
    assert in_flight.full_tags("default") == {"news"}
    assert in_flight.full_tags("bulk") == set()
    in_flight.remove("D")
    in_flight.remove("E")
    assert in_flight.full_tags("default") == set()
    assert in_flight.try_add("B", "default", "news", 5)
    assert not in_flight.try_add("F", "default", "news", 5)


def test_a_message_claimed_again_before_its_end_was_noted_stays_in_flight():
    """Or its new lease would look like a stray, and it would be delivered twice."""
    in_flight = InFlight({})
    assert in_flight.try_add("A", "default", None, 2)
    in_flight.fill(in_flight.reserve("default", 2), [("A", None, 0)])
    in_flight.remove("A")
    assert "A" in in_flight
    in_flight.remove("A")
    assert "A" not in in_flight
    assert in_flight.reserve("default", 2).places == 2


def test_a_message_that_has_grown_leaves_less_room_until_it_is_gone():
    in_flight = InFlight({}, most_bytes=100)
    in_flight.fill(in_flight.reserve("default", 5), [("A", None, 0), ("B", None, 30)])
    in_flight.resize("A", 50)
    assert in_flight.reserve("default", 5).load.room_bytes == 20
    in_flight.resize("A", 120)
    assert in_flight.reserve("default", 5).load.room_bytes == 0
    in_flight.remove("A")
    in_flight.resize("A", 10)
    assert in_flight.reserve("default", 5).load.room_bytes == 70


def test_removing_a_message_that_is_not_in_flight_does_nothing():
    in_flight = InFlight({})
    in_flight.remove("A")
    assert in_flight.reserve("default", 1).places == 1


def test_waiting_ends_with_the_last_message():
    in_flight = InFlight({})
    for one in ("A", "B", "C"):
        assert in_flight.try_add(one, "default", None, 3)
    with ThreadPoolExecutor(1) as alone:
        waiting = alone.submit(in_flight.wait_until_gone, ["A", "B"], WAIT_SECONDS)
        in_flight.remove("A")
        assert not waiting.done()
        in_flight.remove("B")
        assert waiting.result(WAIT_SECONDS)


def test_waiting_ends_at_its_timeout():
    in_flight = InFlight({})
    assert in_flight.try_add("A", "default", None, 1)
    assert not in_flight.wait_until_gone(["A"], 0.01)
    assert in_flight.wait_until_gone(["B"], 0.01)


def test_only_messages_without_an_attempt_are_idle():
    now = [0.0]
    in_flight = InFlight({"news": 1}, lambda: now[0])
    assert in_flight.try_add("offered", "default", None, 5)
    assert in_flight.try_add("accepted", "default", "news", 5)
    in_flight.mark_enqueued("accepted")
    for _ in range(2):
        reserved = in_flight.reserve("default", 5)
        in_flight.fill(reserved, [("claimed", None, 0), ("worked on", None, 0)])
    assert set(in_flight.remove_idle({"worked on"})) == {"accepted", "claimed"}
    assert in_flight.full_tags("default") == set()
    assert in_flight.reserve("default", 5).places == 2
    assert in_flight.remove_idle({"worked on"}) == []


def test_an_offered_message_that_never_came_becomes_idle():
    now = [0.0]
    in_flight = InFlight({}, lambda: now[0])
    assert in_flight.try_add("A", "default", None, 5)
    now[0] = ENQUEUE_SECONDS - 1
    assert in_flight.remove_idle(()) == []
    now[0] = ENQUEUE_SECONDS
    assert in_flight.remove_idle(()) == ["A"]


def test_the_bytes_in_flight_of_a_lane_are_limited():
    in_flight = InFlight({}, most_bytes=100)
    assert in_flight.try_add("A", "default", None, 5, 60)
    assert not in_flight.try_add("B", "default", None, 5, 60)
    assert in_flight.try_add("B", "bulk", None, 5, 60)
    reserved = in_flight.reserve("default", 5)
    assert (reserved.load.room_bytes, reserved.load.alone) == (40, False)
    in_flight.fill(reserved, [("C", None, 40)])
    in_flight.remove("A")
    assert in_flight.try_add("D", "default", None, 5, 60)


def test_a_message_above_the_limit_is_delivered_alone():
    in_flight = InFlight({}, most_bytes=100)
    assert in_flight.try_add("A", "default", None, 5, 500)
    assert not in_flight.try_add("B", "default", None, 5, 1)
    in_flight.remove("A")
    assert in_flight.try_add("B", "default", None, 5, 1)


def test_nothing_overtakes_a_message_that_waits_for_room():
    in_flight = InFlight({}, most_bytes=100)
    assert in_flight.try_add("A", "default", None, 5, 60)
    reserved = in_flight.reserve("default", 5)
    reserved.load.left_bytes = 70
    in_flight.fill(reserved)
    assert not in_flight.free("default", 5)
    assert not in_flight.try_add("B", "default", None, 5, 1)
    in_flight.remove("A")
    assert in_flight.free("default", 5)
