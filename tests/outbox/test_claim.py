"""Claiming: which messages, in which order, and none of them twice."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from flask_outbox.delivery import State
from flask_outbox.outbox import Outbox
from flask_outbox.outbox.claim import Load
from flask_outbox.outbox.records import Claim

from . import elsewhere
from .conftest import Opener
from .elsewhere import Process
from .making import (
    ADA,
    BOB,
    COURIER,
    KEPT,
    LATER,
    OTHER_COURIER,
    Clock,
    content_of,
    deferred,
    ended,
    new_message,
    put,
    sent,
)
from .meanwhile import meanwhile

CROWD = 300


def ids_of(claims: list[Claim]) -> list[str]:
    return [held.id for held in claims]


def test_an_empty_outbox_has_nothing_to_claim(outbox: Outbox) -> None:
    assert outbox.claim(COURIER, "default", 10) == []


def test_a_claimed_message_is_leased(outbox: Outbox) -> None:
    message_id = put(outbox, ADA, BOB)

    (held,) = outbox.claim(COURIER, "default", 10)

    assert (held.id, held.owner, held.token) == (message_id, COURIER, 1)
    assert (held.attempt, held.crashes, held.settled) == (1, 0, frozenset())
    assert outbox.get(message_id).state is State.LEASED
    assert outbox.claim(OTHER_COURIER, "default", 10) == []
    assert outbox.leased_to(COURIER) == [message_id]
    assert outbox.leased_to(OTHER_COURIER) == []


def test_higher_priority_first_then_the_longest_due(
    outbox: Outbox, clock: Clock
) -> None:
    def put_at(priority: int, waited_seconds: float) -> str:
        due_at = clock.now - waited_seconds
        return put(outbox, priority=priority, due_at=due_at)

    low, late, high, early = (
        put_at(-1_000, 300),
        put_at(0, 10.25),
        put_at(1_000, 0),
        put_at(0, 10.5),
    )

    claims = outbox.claim(COURIER, "default", 10)

    assert ids_of(claims) == [high, early, late, low]


def test_a_message_is_not_claimed_before_it_is_due(
    outbox: Outbox, clock: Clock
) -> None:
    message_id = put(outbox, due_at=clock.now + 60)

    clock.advance(59.999)
    assert outbox.claim(COURIER, "default", 10) == []
    clock.advance(0.001)
    assert ids_of(outbox.claim(COURIER, "default", 10)) == [message_id]


def test_messages_not_due_delay_no_others(outbox: Outbox, clock: Clock) -> None:
    put(outbox, priority=9, due_at=clock.now + 60)
    due = put(outbox, priority=3)

    assert ids_of(outbox.claim(COURIER, "default", 1)) == [due]


def test_the_limit_counts_over_all_priorities(outbox: Outbox) -> None:
    for priority in (1, 2, 3, 1, 2, 3):
        put(outbox, priority=priority)

    assert len(outbox.claim(COURIER, "default", 4)) == 4
    assert len(outbox.claim(COURIER, "default", 4)) == 2


def test_a_claim_takes_messages_of_its_lane_only(outbox: Outbox) -> None:
    here, there = put(outbox), put(outbox, lane="bulk")

    assert ids_of(outbox.claim(COURIER, "bulk", 10)) == [there]
    assert ids_of(outbox.claim(COURIER, "default", 10)) == [here]
    assert outbox.claim(COURIER, "nowhere", 10) == []


def test_only_the_given_ids_are_claimed(outbox: Outbox, clock: Clock) -> None:
    low, high, other = put(outbox, priority=1), put(outbox, priority=2), put(outbox)
    later, there = put(outbox, due_at=clock.now + 60), put(outbox, lane="bulk")
    gone = put(outbox)
    (held,) = outbox.claim(OTHER_COURIER, "default", 1, [gone])
    outbox.record([sent(held, clock.now)])
    among = [later, low, gone, there, high, "01NOSUCHMESSAGE00000000000"]

    assert ids_of(outbox.claim(COURIER, "default", 10, among)) == [high, low]
    assert outbox.claim(COURIER, "default", 10, among) == []
    assert outbox.claim(COURIER, "default", 10, []) == []
    assert ids_of(outbox.claim(COURIER, "default", 10)) == [other]


def test_no_more_than_the_limit_of_the_given_ids_are_claimed(outbox: Outbox) -> None:
    ids = [put(outbox, priority=priority) for priority in (1, 3, 2)]

    assert ids_of(outbox.claim(COURIER, "default", 2, ids)) == [ids[1], ids[2]]


def test_each_claim_has_the_message_of_its_row(outbox: Outbox) -> None:
    messages = {}
    for number in range(20):
        new = new_message(outbox.clock(), f"{number}@example.org", priority=number % 3)
        messages[new.id] = (f"{number}@example.org",)
        outbox.enqueue([new])

    claims = outbox.claim(COURIER, "default", 20)

    assert {held.id: held.envelope.recipients for held in claims} == messages


def test_the_token_rises_with_each_lease(outbox: Outbox, clock: Clock) -> None:
    put(outbox)
    tokens = []
    for _ in range(3):
        (held,) = outbox.claim(COURIER, "default", 1)
        tokens.append(held.token)
        outbox.record([deferred(held, clock.now, clock.now)])

    assert tokens == [1, 2, 3]


def test_the_token_rises_above_that_of_enqueueing(outbox: Outbox, clock: Clock) -> None:
    message_id = put(outbox, owner=COURIER)
    outbox.return_untried(COURIER, [message_id], "its courier stopped")

    (held,) = outbox.claim(COURIER, "default", 1)

    assert held.token == 2


# ---------------------------------------------------------------------- several at once


def put_crowd(outbox: Outbox) -> set[str]:
    messages = [
        new_message(outbox.clock(), priority=number % 3) for number in range(CROWD)
    ]
    return {one.id for one in outbox.enqueue(messages)}


def assert_each_was_claimed_once(expected: set[str], claimed: list[str]) -> None:
    twice = [one for one, times in Counter(claimed).items() if times > 1]
    assert not twice
    assert set(claimed) == expected


def test_no_two_threads_claim_the_same_message(url: str, opener: Opener) -> None:
    outboxes = [opener(url) for _ in range(4)]
    expected = put_crowd(outboxes[0])

    def claim_all(number: int) -> list[str]:
        claimed: list[str] = []
        outbox, courier = outboxes[number % 4], f"courier-{number}"
        while len(claimed) < 1_000 and (claims := outbox.claim(courier, "default", 7)):
            claimed += ids_of(claims)
        return claimed

    with ThreadPoolExecutor(8) as threads:
        claimed = [one for some in threads.map(claim_all, range(8)) for one in some]

    assert_each_was_claimed_once(expected, claimed)


def test_no_two_processes_claim_the_same_message(
    url: str, outbox: Outbox, clock: Clock
) -> None:
    clock.now = 1_000_000_000.0
    expected = put_crowd(outbox)

    with ExitStack() as stack:
        processes = [
            stack.enter_context(Process(elsewhere.claim_all, url, f"courier-{number}"))
            for number in range(4)
        ]
        for process in processes:
            assert process.hear() == "ready"
        for process in processes:
            process.say()
        claimed = [one for process in processes for one in process.hear()]

    assert_each_was_claimed_once(expected, claimed)


def test_concurrent_claims_share_the_messages(outbox: Outbox, other: Outbox) -> None:
    expected = put_crowd(outbox)

    with ThreadPoolExecutor(2) as threads:
        halves = list(
            threads.map(
                lambda one: one.claim(COURIER, "default", CROWD // 2), (outbox, other)
            )
        )

    assert [len(half) for half in halves] == [CROWD // 2] * 2
    assert_each_was_claimed_once(expected, ids_of(halves[0]) + ids_of(halves[1]))


def test_a_message_finished_meanwhile_is_not_claimed(
    outbox: Outbox, other: Outbox, clock: Clock
) -> None:
    """Who is open is asked once the message is ours, not when we began to look."""
    first = put(outbox, ADA, BOB)
    (held,) = other.claim(OTHER_COURIER, "default", 1)
    put(outbox)
    answers = {ADA: (State.SENT, KEPT), BOB: (State.PENDING, LATER)}
    end = ended(held, clock.now, State.PENDING, answers, due_at=clock.now)

    with meanwhile(outbox, "SELECT outbox_message.id", lambda: other.record([end])):
        claims = outbox.claim(COURIER, "default", 10)
    claims += outbox.claim(COURIER, "default", 10)

    recipients = {held.id: held.envelope.recipients for held in claims}
    assert recipients[first] == (BOB,)


def test_concurrent_claims_do_not_mix_up_content(outbox: Outbox, other: Outbox) -> None:
    messages = [new_message(outbox.clock()) for _ in range(20)]
    for new in messages:
        put(outbox, id=new.id, content=content_of(new.id))

    claims = outbox.claim(COURIER, "default", 10)
    claims += other.claim(OTHER_COURIER, "default", 10)

    assert len(claims) == 20
    assert all(held.content == content_of(held.id) for held in claims)


# ---------------------------------------------------------------- queues of tags


def test_a_queues_room_limits_its_claims(outbox: Outbox):
    """However much of it waits before the others."""
    now = outbox.clock()
    news = [put(outbox, queue="news", due_at=now - 90 + one) for one in range(5)]
    orders = [put(outbox, due_at=now - 50 + one) for one in range(3)]
    room = {"news": 2}
    taken = ids_of(outbox.claim(COURIER, "default", 4, room=room))
    assert taken == [*news[:2], *orders[:2]]
    assert ids_of(outbox.claim(COURIER, "default", 4, room={"news": 0})) == orders[2:]
    assert ids_of(outbox.claim(COURIER, "default", 2, news, room)) == news[2:4]
    assert outbox.claim(COURIER, "default", 2, news, {"news": 0}) == []
    assert ids_of(outbox.claim(COURIER, "default", 4)) == news[4:]


def test_all_queues_together_keep_the_order_of_priorities(outbox: Outbox):
    low = put(outbox, queue="news", priority=-10)
    usual = put(outbox)
    high = put(outbox, queue="code", priority=10)
    claims = outbox.claim(COURIER, "default", 2, room={"news": 1, "code": 1})
    assert ids_of(claims) == [high, usual]
    assert ids_of(outbox.claim(COURIER, "default", 2)) == [low]


def test_next_due_ignores_full_queues(outbox: Outbox):
    now = outbox.clock()
    put(outbox, queue="news", due_at=now)
    put(outbox, due_at=now + 50)
    assert outbox.next_due_at("default") == now
    assert outbox.next_due_at("default", {"news"}) == now + 50
    assert outbox.next_due_at("bulk", {"news"}) is None


def test_next_due_by_lane_is_one_query(outbox: Outbox):
    """Whatever the queue and the priority of what is due first."""
    assert outbox.next_due_by_lane() == {}
    now = outbox.clock()
    for lane in ("first", "second"):
        put(outbox, lane=lane, due_at=now + 50)
        put(outbox, lane=lane, queue="news", priority=5, due_at=now + 70)
        put(outbox, lane=lane, queue="news", priority=-5, due_at=now + 30)
    put(outbox, lane="second", priority=7, due_at=now + 10)
    put(outbox, lane="third", due_at=now)
    outbox.claim(COURIER, "third", 10)
    assert outbox.next_due_by_lane() == {"first": now + 30, "second": now + 10}


def test_a_claim_fits_into_the_free_memory(outbox: Outbox) -> None:
    """And nothing overtakes what is too heavy, unless that is alone."""
    light, heavy, last = (
        put(outbox, content=b"x" * size, due_at=outbox.clock() - age)
        for size, age in ((40, 3), (80, 2), (10, 1))
    )

    load = Load(room_bytes=100, alone=False)
    assert ids_of(outbox.claim(COURIER, "default", 10, load=load)) == [light]
    assert load.left_bytes == 80
    assert outbox.claim(COURIER, "default", 10, load=Load(70, alone=False)) == []

    load = Load(room_bytes=70, alone=True)
    assert ids_of(outbox.claim(COURIER, "default", 10, load=load)) == [heavy]
    assert load.left_bytes == 10
    load = Load(room_bytes=10, alone=False)
    assert ids_of(outbox.claim(COURIER, "default", 10, load=load)) == [last]
    assert load.left_bytes == 0
