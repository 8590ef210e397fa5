"""The queue: claims, ends of attempts, pauses, giving up and replays."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import event

from flask_outbox.outbox import (
    Database,
    Feed,
    Outbox,
    WebhookAttempt,
    WebhookClaim,
    WebhookStore,
)
from flask_outbox.outbox.records import WebhookState
from flask_outbox.outbox.webhook_queue import (
    FAILURES_BEFORE_PAUSE,
    FIRST_PAUSE_SECONDS,
    JITTER,
    LEASE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    RETRY_SECONDS,
)
from flask_outbox.webhooks.kinds import DEFAULT_WEBHOOK_KINDS
from tests.outbox.making import Clock, claim_one, enlist, put, sent
from tests.webhooks.conftest import GIVE_UP_SECONDS

CRM = Feed("crm", frozenset(DEFAULT_WEBHOOK_KINDS), False, GIVE_UP_SECONDS)

MOST = 1 + JITTER
"""The factor by which chance lengthens a wait at most."""


@pytest.fixture
def store(outbox: Outbox) -> WebhookStore:
    store = WebhookStore(outbox)
    store.begin("crm")
    return store


OpenStore = Callable[[], WebhookStore]


@pytest.fixture
def open_store(url: str, clock: Clock) -> Iterator[OpenStore]:
    """Opens the same, as another process would."""
    databases: list[Database] = []

    def open_it() -> WebhookStore:
        databases.append(Database(url))
        return WebhookStore(Outbox(databases[-1], clock))

    yield open_it
    for one in databases:
        one.close()


@pytest.fixture
def other_store(open_store: OpenStore) -> WebhookStore:
    """The same, as another process has it."""
    return open_store()


def queue(outbox: Outbox, store: WebhookStore, number: int) -> list[str]:
    """Queue webhooks for so many messages; the messages' ids."""
    enlist(outbox)
    ids = []
    for _ in range(number):
        ids.append(put(outbox))
        outbox.record([sent(claim_one(outbox), outbox.clock())])
    store.copy(CRM)
    return ids


def took(claim: WebhookClaim) -> WebhookAttempt:
    return WebhookAttempt(claim, 204, None)


def broke(claim: WebhookClaim) -> WebhookAttempt:
    return WebhookAttempt(claim, 503, "it answered 503")


def counts(store: WebhookStore) -> tuple[int, int]:
    """How many wait, and how many failed."""
    (found,) = store.endpoints(["crm"])
    return found.waiting, found.failed


def test_what_was_taken_is_done(outbox: Outbox, store: WebhookStore) -> None:
    (message_id,) = queue(outbox, store, 1)
    (claim,) = store.claim("crm", 10)
    assert claim.id.startswith(f"{message_id}_")
    store.record("crm", [took(claim)])
    (one,) = store.webhooks("crm")
    assert (one.state, one.status, one.attempts) == (WebhookState.DONE, 204, 1)
    assert not store.anything_due("crm")


def test_what_is_being_sent_is_not_claimed_again(
    outbox: Outbox, store: WebhookStore, other_store: WebhookStore
) -> None:
    queue(outbox, store, 3)
    mine = store.claim("crm", 2)
    others = other_store.claim("crm", 10)
    assert len({one.id for one in (*mine, *others)}) == 3
    assert store.claim("crm", 10) == []


def test_no_webhook_is_claimed_by_two_at_once(
    outbox: Outbox, store: WebhookStore, open_store: OpenStore
) -> None:
    queue(outbox, store, 40)
    claimed: list[str] = []
    together = threading.Barrier(4)

    def claim() -> None:
        own = open_store()
        together.wait()
        while some := own.claim("crm", 3):
            claimed.extend(one.id for one in some)

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(claimed) == len(set(claimed)) == 40


def test_what_a_dead_process_was_sending_is_sent_again(
    outbox: Outbox, store: WebhookStore, other_store: WebhookStore, clock: Clock
) -> None:
    queue(outbox, store, 1)
    (lost,) = other_store.claim("crm", 1)
    clock.advance(LEASE_SECONDS - 1)
    assert store.claim("crm", 1) == []
    clock.advance(1)
    (again,) = store.claim("crm", 1)
    assert (again.id, again.body) == (lost.id, lost.body)
    store.record("crm", [took(again)])
    other_store.record("crm", [broke(lost)])
    assert store.webhooks("crm")[0].state is WebhookState.DONE


def test_a_record_without_a_lease_changes_nothing(
    outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    queue(outbox, store, 1)
    (late,) = store.claim("crm", 1)
    clock.advance(LEASE_SECONDS)
    (now,) = store.claim("crm", 1)
    store.record("crm", [broke(late)])
    assert store.webhooks("crm")[0].error is None
    assert store.claim("crm", 1) == []
    store.record("crm", [took(now)])


def test_waits_grow_as_the_specification_advises(
    outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    queue(outbox, store, 1)
    for seconds in RETRY_SECONDS:
        store.resume("crm")
        (claim,) = store.claim("crm", 1)
        store.record("crm", [broke(claim)])
        wait = store.webhooks("crm")[0].due_at.timestamp() - clock()
        assert seconds * (1 - JITTER) - 1 <= wait <= seconds * MOST + 1
        clock.advance(wait + 1)
    assert 3 * 86_400 > sum(RETRY_SECONDS[:-1]) > 2 * 86_400


def test_it_is_given_up_after_days_and_can_be_replayed(
    outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    queue(outbox, store, 2)
    first, second = store.claim("crm", 2)
    store.record("crm", [broke(first), took(second)])
    clock.advance(GIVE_UP_SECONDS - 1)
    assert store.give_up("crm") == 0
    clock.advance(1)
    assert store.give_up("crm") == 1
    assert counts(store) == (0, 1)
    (failed, _) = store.webhooks("crm")
    assert (failed.state, failed.error) == (WebhookState.FAILED, "it answered 503")
    assert store.replay("crm", GIVE_UP_SECONDS) == 1
    (again,) = store.claim("crm", 10)
    assert (again.id, again.body) == (first.id, first.body)


def test_a_webhook_that_changes_while_they_are_listed_is_listed(
    outbox: Outbox, store: WebhookStore, other_store: WebhookStore, clock: Clock
) -> None:
    queue(outbox, store, 1)
    (claim,) = store.claim("crm", 1)

    @event.listens_for(outbox.database.engine, "after_cursor_execute", once=True)
    def give_up(*_: object) -> None:
        other_store.record("crm", [broke(claim)])
        clock.advance(GIVE_UP_SECONDS)
        other_store.give_up("crm")

    assert [one.id for one in store.webhooks("crm")] == [claim.id]


def test_what_is_being_sent_is_not_given_up(
    outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    queue(outbox, store, 1)
    clock.advance(GIVE_UP_SECONDS - 1)
    (claim,) = store.claim("crm", 1)
    clock.advance(2)
    assert store.give_up("crm") == 0
    store.record("crm", [took(claim)])
    assert store.webhooks("crm")[0].state is WebhookState.DONE


def test_a_replay_since_a_time_sends_again_what_was_taken(
    outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    queue(outbox, store, 1)
    store.record("crm", [took(one) for one in store.claim("crm", 10)])
    clock.advance(100)
    queue(outbox, store, 2)
    later = store.claim("crm", 10)
    store.record("crm", [took(one) for one in later])
    assert store.replay("crm", GIVE_UP_SECONDS, since=clock() - 50) == 2
    again = store.claim("crm", 10)
    assert {one.id for one in again} == {one.id for one in later}
    assert [one.attempt for one in again] == [1, 1]


def _fail_until_paused(store: WebhookStore) -> None:
    claims = store.claim("crm", FAILURES_BEFORE_PAUSE)
    for claim in claims[:-1]:
        assert store.record("crm", [broke(claim)]) is None
    pause = store.record("crm", [broke(claims[-1])])
    assert pause is not None
    assert (pause.by, pause.reason) == ("trouble", "it answered 503")


def test_an_endpoint_that_fails_is_probed_with_one_webhook_at_a_time(
    outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    queue(outbox, store, 50)
    _fail_until_paused(store)
    assert not store.anything_due("crm")
    assert store.claim("crm", 10) == []
    clock.advance(FIRST_PAUSE_SECONDS * MOST)
    assert store.anything_due("crm")
    (probe,) = store.claim("crm", 10)
    assert probe.probe
    assert store.claim("crm", 10) == []
    assert store.record("crm", [broke(probe)]) is None
    clock.advance(FIRST_PAUSE_SECONDS * MOST)
    assert store.claim("crm", 10) == [], "each pause is longer than the one before"
    clock.advance(LONGEST_PAUSE_SECONDS * MOST)
    (probe,) = store.claim("crm", 10)
    pause = store.record("crm", [took(probe)])
    assert pause is not None
    assert pause.by is None
    assert len(store.claim("crm", 100)) == 49


def test_the_pause_is_bounded_however_long_the_endpoint_fails(
    outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    queue(outbox, store, 60)
    _fail_until_paused(store)
    for _ in range(40):
        clock.advance(LONGEST_PAUSE_SECONDS * MOST)
        (probe,) = store.claim("crm", 10)
        store.record("crm", [broke(probe)])
    (found,) = store.endpoints(["crm"])
    assert found.until is not None
    assert found.until.timestamp() <= clock() + LONGEST_PAUSE_SECONDS * MOST + 1


def test_those_under_way_when_it_was_paused_do_not_lengthen_the_pause(
    outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    queue(outbox, store, 20)
    claims = store.claim("crm", 20)
    store.record("crm", [broke(one) for one in claims[:5]])
    store.record("crm", [broke(one) for one in claims[5:]])
    clock.advance(FIRST_PAUSE_SECONDS * MOST)
    assert len(store.claim("crm", 10)) == 1


def test_a_probe_whose_process_died_is_followed_by_another(
    outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    queue(outbox, store, 10)
    _fail_until_paused(store)
    clock.advance(FIRST_PAUSE_SECONDS * MOST)
    assert len(store.claim("crm", 10)) == 1
    clock.advance(LEASE_SECONDS)
    assert len(store.claim("crm", 10)) == 1


def test_an_endpoint_that_is_gone_is_sent_nothing_until_a_person_resumes(
    outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    queue(outbox, store, 2)
    (claim,) = store.claim("crm", 1)
    answer = WebhookAttempt(claim, 410, "it answered 410", gone=True)
    pause = store.record("crm", [answer])
    assert pause is not None
    assert pause.by == "gone"
    clock.advance(86_400)
    assert store.claim("crm", 10) == []
    queue(outbox, store, 1)
    store.resume("crm")
    assert len(store.claim("crm", 10)) == 3


def test_a_person_pauses_and_resumes(
    outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    queue(outbox, store, 2)
    (under_way,) = store.claim("crm", 1)
    store.pause("crm", "the CRM moves")
    assert store.claim("crm", 10) == []
    assert store.record("crm", [took(under_way)]) is None
    (found,) = store.endpoints(["crm"])
    assert (found.paused_by, found.reason) == ("person", "the CRM moves")
    store.resume("crm")
    assert len(store.claim("crm", 10)) == 1


def test_what_was_not_tried_is_due_at_once(outbox: Outbox, store: WebhookStore) -> None:
    queue(outbox, store, 1)
    (claim,) = store.claim("crm", 1)
    store.record("crm", [WebhookAttempt(claim, None, None, tried=False)])
    (again,) = store.claim("crm", 1)
    assert again == claim


def test_what_is_finished_is_forgotten_later(
    outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    queue(outbox, store, 2)
    store.record("crm", [took(one) for one in store.claim("crm", 1)])
    clock.advance(100)
    store.forget_finished(200)
    assert len(store.webhooks("crm")) == 2
    store.forget_finished(50)
    (left,) = store.webhooks("crm")
    assert left.state is WebhookState.PENDING


def test_an_endpoint_can_be_tried_before_any_courier_knows_it(
    outbox: Outbox,
) -> None:
    store = WebhookStore(outbox)
    id = store.add_test("new", GIVE_UP_SECONDS)
    (claim,) = store.claim("new", 10)
    assert claim.id == id
    store.record("new", [took(claim)])
    found = store.get("new", id)
    assert found is not None
    assert (found.kind, found.state) == ("test", WebhookState.DONE)
