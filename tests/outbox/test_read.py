"""Reading: one message, lists, and the status of the outbox."""

from __future__ import annotations

import pytest

from flask_outbox.delivery import State
from flask_outbox.history import describe
from flask_outbox.outbox import MessageActions, Outbox, Record
from flask_outbox.outbox.lanes import ABANDONED_SECONDS
from flask_outbox.outbox.records import Attempt
from flask_outbox.outbox.statements import Row

from .making import (
    ADA,
    BOB,
    COURIER,
    LEASE_SECONDS,
    OTHER_COURIER,
    Clock,
    began,
    claim_one,
    deferred,
    enlist,
    failed,
    new_message,
    put,
    returned,
    sent,
    unknown,
)
from .meanwhile import meanwhile


def close_to(seconds: float) -> object:
    return pytest.approx(seconds, abs=1e-6)


# -------------------------------------------------------------------------- one message


def test_get_returns_the_whole_record(outbox: Outbox, clock: Clock) -> None:
    new = new_message(
        clock.now,
        ADA,
        BOB,
        due_at=clock.now + 60,
        key="order-7",
        tag="orders",
        metadata='{"order":7}',
        priority=5,
        origin={"method": "POST", "route": "/buy/<id>", "request_id": "r-1"},
    )
    outbox.enqueue([new])

    found = outbox.get(new.id)

    assert (found.id, found.subject, found.return_path) == (
        new.id,
        new.subject,
        new.envelope.return_path,
    )
    assert (found.key, found.tag, found.metadata) == ("order-7", "orders", {"order": 7})
    assert (found.lane, found.priority) == ("default", 5)
    assert found.enqueued_at.timestamp() == close_to(clock.now)
    assert found.due_at.timestamp() == close_to(clock.now + 60)
    assert found.enqueued_at.utcoffset() is not None
    assert found.attempts == ()
    (enqueued,) = describe(found)
    assert enqueued.what == "POST /buy/<id> (request r-1) enqueued the message"


def test_content_is_none_where_there_is_no_message(outbox: Outbox) -> None:
    assert outbox.content("01M8R0E7N6VTH1JFKA3YCJ3SP8") is None


# ----------------------------------------------------------------------------- attempts


class Trying:
    """Tries the one message, again and again, a second for each step."""

    def __init__(self, outbox: Outbox, clock: Clock) -> None:
        self.outbox = outbox
        self.clock = clock
        self.message_id = put(outbox)

    def at(self) -> float:
        self.clock.advance(1)
        return self.clock.now

    def note(self, row: Row) -> None:
        self.outbox.record([], [row])

    def attempt(self, end: object = None, owner: str = COURIER) -> None:
        """Begin, and end as ``end`` says; without it the attempt goes on."""
        held = claim_one(self.outbox, owner)
        self.note(began(held, self.at()))
        if end is not None:
            assert callable(end)
            record: Record = end(held, self.at())
            assert self.outbox.record([record]).lost == []

    def attempts(self) -> list[tuple[int, str, float, float | None, str | None]]:
        """Number, courier, seconds at which it began and ended, outcome."""
        found = self.outbox.get(self.message_id)
        start = found.enqueued_at

        def row(one: Attempt) -> tuple[int, str, float, float | None, str | None]:
            began_at = (one.began_at - start).total_seconds()
            ended_at = (one.ended_at - start).total_seconds() if one.ended_at else None
            return one.number, one.courier, began_at, ended_at, one.outcome

        return [row(one) for one in found.attempts]


@pytest.fixture
def trying(outbox: Outbox, clock: Clock) -> Trying:
    clock.now = 1_900_000_000.0
    return Trying(outbox, clock)


def test_each_attempt_is_paired_with_its_end(trying: Trying) -> None:
    trying.attempt(lambda held, at: deferred(held, at, at))
    trying.attempt(returned)
    trying.attempt(lambda held, at: unknown(held, at, at))
    trying.outbox.resend_unknown()
    trying.attempt(failed, OTHER_COURIER)

    assert trying.attempts() == [
        (1, COURIER, 1, 2, "deferred"),
        (2, COURIER, 3, 4, "returned"),
        (2, COURIER, 5, 6, "unknown"),
        (3, OTHER_COURIER, 7, 8, "failed"),
    ]


def test_an_attempt_that_goes_on_has_no_end(trying: Trying) -> None:
    trying.attempt(lambda held, at: deferred(held, at, at))
    trying.attempt()

    assert trying.attempts() == [
        (1, COURIER, 1, 2, "deferred"),
        (2, COURIER, 3, None, None),
    ]


def test_a_rescue_ends_an_attempt(trying: Trying) -> None:
    trying.attempt()
    trying.at()
    trying.outbox.rescue(hold_unknown=False)
    trying.attempt(sent, OTHER_COURIER)

    assert trying.attempts() == [
        (1, COURIER, 1, 2, "rescued"),
        (1, OTHER_COURIER, 3, 4, "sent"),
    ]


def test_an_end_without_a_beginning_is_no_attempt(trying: Trying) -> None:
    trying.attempt(lambda held, at: deferred(held, at, at))
    held = claim_one(trying.outbox)
    trying.outbox.record([returned(held, trying.at())])
    trying.outbox.act(MessageActions.cancel, trying.message_id)

    assert trying.attempts() == [(1, COURIER, 1, 2, "deferred")]


# --------------------------------------------------------------------------------- many


def numbered(outbox: Outbox, count: int) -> list[str]:
    """Messages whose ids tell their order, oldest first."""
    return [put(outbox, id=f"{number:026}") for number in range(count)]


def test_the_list_has_the_newest_first(outbox: Outbox) -> None:
    ids = numbered(outbox, 5)

    assert [one.id for one in outbox.list()] == ids[::-1]
    assert [one.id for one in outbox.list(limit=2)] == [ids[4], ids[3]]


def test_the_list_is_read_page_by_page(outbox: Outbox) -> None:
    ids = numbered(outbox, 5)
    pages: list[list[str]] = []
    before: str | None = None
    for _ in range(4):
        page = [one.id for one in outbox.list(limit=2, before=before)]
        before = page[-1] if page else before
        pages.append(page)

    assert pages == [[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]], []]


def test_the_list_can_be_of_one_state(outbox: Outbox, clock: Clock) -> None:
    done = put(outbox)
    outbox.record([sent(claim_one(outbox), clock.now)])
    waiting = put(outbox)

    assert [one.id for one in outbox.list(State.SENT)] == [done]
    assert [one.id for one in outbox.list(State.PENDING)] == [waiting]
    assert outbox.list(State.FAILED) == []


def test_a_summary_has_the_main_facts(outbox: Outbox, clock: Clock) -> None:
    message_id = put(outbox, BOB, ADA, tag="orders", subject="Ünï")
    outbox.record([deferred(claim_one(outbox), clock.now, clock.now + 60)])

    (line,) = outbox.list()

    assert (line.id, line.state, line.subject) == (message_id, State.PENDING, "Ünï")
    assert (line.recipients, line.tag, line.attempts) == ((BOB, ADA), "orders", 1)
    assert line.due_at.timestamp() == close_to(clock.now + 60)


# -------------------------------------------------------------------------- at a glance


def test_an_empty_outbox(outbox: Outbox) -> None:
    status = outbox.status()

    assert status.counts == dict.fromkeys(State, 0)
    assert (status.due, status.oldest_due_at) == (0, None)
    assert (status.lanes, status.couriers) == ((), ())
    assert not outbox.anything_due()
    assert outbox.next_due_at("default") is None


def test_the_status_counts(outbox: Outbox, clock: Clock) -> None:
    enlist(outbox, OTHER_COURIER)
    put(outbox)
    outbox.record([sent(claim_one(outbox), clock.now)])
    put(outbox, owner=OTHER_COURIER)
    put(outbox, due_at=clock.now - 30)
    put(outbox, due_at=clock.now - 90)
    put(outbox, due_at=clock.now + 30)

    status = outbox.status()

    expected = {State.PENDING: 3, State.LEASED: 1, State.SENT: 1}
    assert {state: n for state, n in status.counts.items() if n} == expected
    assert status.due == 2
    assert status.oldest_due_at
    assert status.oldest_due_at.timestamp() == close_to(clock.now - 90)
    assert [(one.id, one.leased) for one in status.couriers] == [(OTHER_COURIER, 1)]


def test_couriers_are_listed_in_the_order_of_their_start(
    outbox: Outbox, clock: Clock
) -> None:
    for name in ("c", "a", "b"):
        enlist(outbox, name)
        clock.advance(1)

    assert [one.id for one in outbox.status().couriers] == ["c", "a", "b"]


def test_something_is_due_while_it_is_being_delivered(
    outbox: Outbox, clock: Clock
) -> None:
    put(outbox)
    assert outbox.anything_due()
    held = claim_one(outbox)
    assert outbox.anything_due()
    outbox.record([deferred(held, clock.now, clock.now + 60)])
    assert not outbox.anything_due()
    clock.advance(60)
    assert outbox.anything_due()


def test_next_due_is_the_time_of_the_next_message(outbox: Outbox, clock: Clock) -> None:
    put(outbox, due_at=clock.now + 90, priority=9)
    put(outbox, due_at=clock.now + 60, priority=-9)
    put(outbox, due_at=clock.now + 120)
    put(outbox, due_at=clock.now + 30, lane="bulk")
    put(outbox, due_at=clock.now + 10, owner=COURIER)

    assert outbox.next_due_at("default") == clock.now + 60
    assert outbox.next_due_at("bulk") == clock.now + 30
    assert outbox.next_due_at("nowhere") is None


def test_next_due_may_be_in_the_past(outbox: Outbox, clock: Clock) -> None:
    put(outbox, due_at=clock.now - 3_600)

    assert outbox.next_due_at("default") == clock.now - 3_600


# -------------------------------------------------------------------------------- lanes


def test_a_lane_is_paused_until_it_is_resumed(outbox: Outbox, clock: Clock) -> None:
    outbox.pause_lane("default", clock.now + 30, "connection refused: größer %s")
    outbox.pause_lane("bulk", clock.now + 60, "DNS")

    bulk, default = outbox.lanes()
    assert (default.name, default.reason) == (
        "default",
        "connection refused: größer %s",
    )
    assert default.until is not None
    assert default.until.timestamp() == close_to(clock.now + 30)
    assert bulk.name == "bulk"
    assert outbox.status().lanes == (bulk, default)

    outbox.resume_lane("default")
    assert outbox.lanes() == [bulk]
    outbox.resume_lane("default")


def test_a_new_pause_replaces_the_old_one(outbox: Outbox, clock: Clock) -> None:
    outbox.pause_lane("default", clock.now + 30, "refused")
    outbox.pause_lane("default", clock.now + 60, "DNS")

    (lane,) = outbox.lanes()
    assert lane.reason == "DNS"
    assert lane.until is not None
    assert lane.until.timestamp() == close_to(clock.now + 60)


def down_since(outbox: Outbox) -> float:
    (lane,) = outbox.lanes()
    assert lane.since is not None
    return lane.since.timestamp()


def test_a_lane_stays_down_since_when_it_was_first(
    outbox: Outbox, clock: Clock
) -> None:
    """However often it is probed; another outage has a beginning of its own."""
    began = clock.now
    for _ in range(20):
        outbox.pause_lane("default", clock.now + 30, "refused")
        assert down_since(outbox) == close_to(began)
        clock.advance(31)
    outbox.resume_lane("default")
    outbox.pause_lane("default", clock.now + 30, "refused")
    assert down_since(outbox) == close_to(clock.now)


def test_a_pause_that_a_dead_courier_left_is_no_beginning(
    outbox: Outbox, clock: Clock
) -> None:
    outbox.pause_lane("default", clock.now + 30, "refused")
    clock.advance(30 + ABANDONED_SECONDS)
    outbox.pause_lane("default", clock.now + 30, "refused")
    assert down_since(outbox) == close_to(clock.now)


def test_a_person_paused_a_lane_since_when_he_did(outbox: Outbox, clock: Clock) -> None:
    outbox.pause_lane_by_operator("default", "a move")
    since = clock.now
    clock.advance(60)
    assert down_since(outbox) == close_to(since)


def test_two_pauses_at_the_same_time_are_one(
    outbox: Outbox, other: Outbox, clock: Clock
) -> None:
    def pause(one: Outbox) -> None:
        one.pause_lane("default", clock.now + 30, "refused")

    with meanwhile(outbox, "INSERT INTO outbox_lane", lambda: pause(other)) as paused:
        pause(outbox)

    paused.result()
    assert len(outbox.lanes()) == 1


def test_a_courier_is_alive_until_the_end_of_its_lease(
    outbox: Outbox, clock: Clock
) -> None:
    enlist(outbox)
    clock.advance(LEASE_SECONDS)

    (courier,) = outbox.status().couriers
    assert courier.alive
