"""The dispatcher: real requests to a receiver on this machine."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from flask_outbox.config import WebhookEndpoint
from flask_outbox.courier.webhook_dispatcher import (
    CONCURRENCY,
    LOOK_SECONDS,
    WebhookDispatcher,
)
from flask_outbox.errors import OutboxUnavailable
from flask_outbox.outbox import Database, Outbox, WebhookStore
from flask_outbox.outbox.records import WebhookRecord, WebhookState
from flask_outbox.outbox.webhook_queue import (
    FAILURES_BEFORE_PAUSE,
    LEASE_SECONDS,
    LONGEST_PAUSE_SECONDS,
)
from tests.outbox.making import Clock, claim_one, enlist, put, sent
from tests.servers.webhook_receiver import SECRET, WebhookReceiver
from tests.waiting import WAIT_SECONDS, eventually
from tests.webhooks.conftest import GIVE_UP_SECONDS, endpoint

OTHER_SECRET = "whsec_" + "c2VjcmV0" * 4
KEEP_SECONDS = 7 * 86_400.0
PROBES_IN_AN_HOUR = 12


def dispatcher_of(
    store: WebhookStore, *endpoints: WebhookEndpoint
) -> WebhookDispatcher:
    """A dispatcher to these, which are known from now on."""
    for one in endpoints:
        store.begin(one.name)
    named = {one.name: one for one in endpoints}
    return WebhookDispatcher(store, named, GIVE_UP_SECONDS, KEEP_SECONDS)


def settle(dispatcher: WebhookDispatcher) -> None:
    asyncio.run(dispatcher.settle())


def send(outbox: Outbox, number: int = 1) -> list[str]:
    """Have so many messages sent; their ids."""
    enlist(outbox)
    ids = []
    for _ in range(number):
        ids.append(put(outbox))
        outbox.record([sent(claim_one(outbox), outbox.clock())])
    return ids


def only(store: WebhookStore) -> WebhookRecord:
    (one,) = store.webhooks("crm")
    return one


def test_each_event_is_received_and_verified(
    outbox: Outbox, store: WebhookStore, receiver: WebhookReceiver
) -> None:
    dispatcher = dispatcher_of(store, endpoint(receiver.url))
    ids = send(outbox, 3)
    settle(dispatcher)
    assert receiver.refused == []
    told = [one.json["data"]["message_id"] for one in receiver.received]
    assert sorted(told) == ids
    (first, *_) = receiver.received
    assert first.type == "message.sent"
    assert first.headers["content-type"] == "application/json"
    assert first.headers["user-agent"] == "Flask-Outbox"
    settle(dispatcher)
    assert len(receiver.received) == 3


def test_a_receiver_that_fails_for_an_hour_gets_each_event(
    outbox: Outbox, store: WebhookStore, receiver: WebhookReceiver, clock: Clock
) -> None:
    """And is probed meanwhile, not flooded."""
    dispatcher = dispatcher_of(store, endpoint(receiver.url))
    receiver.answer = lambda _: 503
    ids: list[str] = []
    for _ in range(60):
        ids += send(outbox, 2)
        settle(dispatcher)
        clock.advance(60)
    tried = len(receiver.received)
    assert tried <= FAILURES_BEFORE_PAUSE + CONCURRENCY + PROBES_IN_AN_HOUR
    receiver.answer = lambda _: 204
    clock.advance(2 * LONGEST_PAUSE_SECONDS)
    settle(dispatcher)
    taken = receiver.received[tried:]
    assert sorted(one.json["data"]["message_id"] for one in taken) == sorted(ids)
    assert len({one.id for one in taken}) == len(ids)
    assert {one.id for one in receiver.received} == {one.id for one in taken}
    states = {one.state for one in store.webhooks("crm", 1_000)}
    assert states == {WebhookState.DONE}


def test_a_receiver_that_was_down_gets_each_event(
    outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    with WebhookReceiver() as before:
        port = before.port
    dispatcher = dispatcher_of(store, endpoint(before.url))
    ids = send(outbox, 20)
    for _ in range(6):
        settle(dispatcher)
        clock.advance(600)
    (found,) = store.endpoints(["crm"])
    assert found.paused_by == "trouble"
    assert "cannot be reached" in found.reason
    assert "s3cret" not in found.reason
    with WebhookReceiver(port=port) as after:
        clock.advance(2 * LONGEST_PAUSE_SECONDS)
        settle(dispatcher)
    told = [one.json["data"]["message_id"] for one in after.received]
    assert sorted(told) == ids


@pytest.mark.parametrize("status", [302, 307, 400, 404, 429, 500, 503])
def test_another_answer_than_success_is_no_receipt(
    outbox: Outbox, store: WebhookStore, receiver: WebhookReceiver, status: int
) -> None:
    dispatcher = dispatcher_of(store, endpoint(receiver.url))
    with WebhookReceiver() as elsewhere:
        receiver.answer = lambda _: status
        receiver.location = elsewhere.url
        send(outbox)
        settle(dispatcher)
        assert (elsewhere.received, elsewhere.refused) == ([], [])
    one = only(store)
    assert (one.state, one.status) == (WebhookState.PENDING, status)
    assert str(one.error).startswith(f"it answered {status}")


def test_an_endpoint_that_is_gone_is_asked_no_more(
    outbox: Outbox,
    store: WebhookStore,
    receiver: WebhookReceiver,
    clock: Clock,
) -> None:
    dispatcher = dispatcher_of(store, endpoint(receiver.url))
    receiver.answer = lambda _: 410
    for _ in range(3):
        send(outbox)
        settle(dispatcher)
        clock.advance(86_400)
    assert len(receiver.received) == 1
    (found,) = store.endpoints(["crm"])
    assert found.paused_by == "gone"
    assert found.reason == "it answered 410 Gone: it wants no more"


def test_secrets_are_rotated(
    outbox: Outbox, store: WebhookStore, receiver: WebhookReceiver
) -> None:
    """A receiver that knows either secret verifies each request."""
    with WebhookReceiver(OTHER_SECRET) as other:
        both = [SECRET, OTHER_SECRET]
        dispatcher = dispatcher_of(
            store,
            endpoint(receiver.url, "old", secrets=both),
            endpoint(other.url, "new", secrets=both),
        )
        send(outbox)
        settle(dispatcher)
        assert len(receiver.received) == len(other.received) == 1
    (one,) = receiver.received
    assert len(one.headers["webhook-signature"].split(" ")) == 2


def test_secrets_come_from_the_app(
    outbox: Outbox, store: WebhookStore, receiver: WebhookReceiver
) -> None:
    dispatcher = dispatcher_of(store, endpoint(receiver.url, secrets=lambda: SECRET))
    send(outbox)
    settle(dispatcher)
    assert len(receiver.received) == 1


def _raise() -> str:
    raise RuntimeError(f"the vault has {SECRET}")


@pytest.mark.parametrize(
    "secrets", [_raise, lambda: "hunter2", lambda: None], ids=["raises", "none", "None"]
)
def test_without_secrets_nothing_is_sent_and_none_is_shown(
    outbox: Outbox,
    store: WebhookStore,
    receiver: WebhookReceiver,
    secrets: Callable[[], Any],
) -> None:
    dispatcher = dispatcher_of(store, endpoint(receiver.url, secrets=secrets))
    send(outbox)
    settle(dispatcher)
    assert (receiver.received, receiver.refused) == ([], [])
    error = str(only(store).error)
    assert error.startswith("its secrets cannot be read")
    assert SECRET not in error
    assert "hunter2" not in error


def test_a_reply_without_end_is_not_read_to_its_end(
    outbox: Outbox, store: WebhookStore, receiver: WebhookReceiver
) -> None:
    receiver.answer, receiver.reply = lambda _: 200, b"x" * 50_000_000
    dispatcher = dispatcher_of(store, endpoint(receiver.url))
    send(outbox)
    settle(dispatcher)
    assert only(store).state is WebhookState.DONE


# Side by side


def run_while(dispatcher: WebhookDispatcher, true: Callable[[], Any]) -> None:
    """Run the dispatcher until ``true()``, then cancel it."""

    async def run() -> None:
        running = asyncio.create_task(dispatcher.run())
        try:
            await asyncio.to_thread(eventually, true)
        finally:
            running.cancel()
            await asyncio.wait([running])

    asyncio.run(run())


def test_a_slow_endpoint_delays_no_other(
    outbox: Outbox, store: WebhookStore, receiver: WebhookReceiver
) -> None:
    hung = threading.Event()
    receiver.answer = lambda _: (hung.wait(WAIT_SECONDS) and 204) or 500
    with WebhookReceiver() as quick:
        dispatcher = dispatcher_of(
            store, endpoint(receiver.url, "slow"), endpoint(quick.url, "quick")
        )
        send(outbox, CONCURRENCY + 10)
        run_while(
            dispatcher,
            lambda: (
                len(quick.received) == CONCURRENCY + 10
                and len(receiver.received) == CONCURRENCY
            ),
        )
        assert receiver.most_at_once == CONCURRENCY
    hung.set()


def test_what_was_being_sent_at_the_end_is_given_back(
    outbox: Outbox, store: WebhookStore, receiver: WebhookReceiver
) -> None:
    hung = threading.Event()
    receiver.answer = lambda _: (hung.wait(WAIT_SECONDS) and 204) or 500
    dispatcher = dispatcher_of(store, endpoint(receiver.url))
    send(outbox)
    run_while(dispatcher, lambda: receiver.received)
    hung.set()
    (again,) = store.claim("crm", 1)
    assert again.id == receiver.ids[0]


def test_the_app_is_asked_again_for_secrets_after_it_failed(
    outbox: Outbox, store: WebhookStore, receiver: WebhookReceiver
) -> None:
    asked: list[int] = []

    def secrets() -> str:
        asked.append(1)
        if len(asked) == 1:
            raise RuntimeError("the vault is down")
        return SECRET

    dispatcher = dispatcher_of(store, endpoint(receiver.url, secrets=secrets))
    send(outbox)
    settle(dispatcher)
    assert receiver.received == []
    send(outbox)
    settle(dispatcher)
    assert len(receiver.received) == 1


def test_what_is_given_up_is_told_in_the_log(
    outbox: Outbox,
    store: WebhookStore,
    receiver: WebhookReceiver,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    dispatcher = dispatcher_of(store, endpoint(receiver.url))
    receiver.answer = lambda _: 500
    send(outbox)
    settle(dispatcher)
    clock.advance(GIVE_UP_SECONDS)
    run_while(
        dispatcher,
        lambda: any(one.state is WebhookState.FAILED for one in store.webhooks("crm")),
    )
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert record.getMessage() == (
        "Webhooks for crm failed: 1 webhook not taken within 3 d 0 h. Send them again "
        "with: flask outbox webhooks replay --failed crm"
    )


class FullStore(WebhookStore):
    """One whose disk is full, once endpoints have answered."""

    def __init__(self, outbox: Outbox) -> None:
        super().__init__(outbox)
        self.asked_at: list[float] = []

    def record(self, *_: object) -> None:
        self.asked_at.append(time.monotonic())
        raise OutboxUnavailable("the disk is full")


def test_an_outbox_that_is_unavailable_is_left_alone_for_a_while(
    outbox: Outbox, receiver: WebhookReceiver
) -> None:
    store = FullStore(outbox)
    dispatcher = dispatcher_of(store, endpoint(receiver.url))
    send(outbox)
    run_while(dispatcher, lambda: len(store.asked_at) >= 3)
    first, _, third, *_ = store.asked_at
    assert third - first >= 2 * LOOK_SECONDS


def test_two_dispatchers_share_the_work(
    outbox: Outbox,
    store: WebhookStore,
    receiver: WebhookReceiver,
    url: str,
    clock: Clock,
) -> None:
    dispatcher = dispatcher_of(store, endpoint(receiver.url))
    send(outbox, 60)
    database = Database(url)
    other = dispatcher_of(WebhookStore(Outbox(database, clock)), endpoint(receiver.url))

    async def both() -> None:
        await asyncio.gather(dispatcher.settle(), other.settle())

    asyncio.run(both())
    database.close()
    settle(dispatcher)
    assert len(receiver.ids) == len(set(receiver.ids)) == 60


# Kills

CHILD = """
import asyncio, sys
from flask_outbox.courier.webhook_dispatcher import WebhookDispatcher
from flask_outbox.outbox import Database, Outbox, WebhookStore
from tests.webhooks.conftest import GIVE_UP_SECONDS, endpoint

store = WebhookStore(Outbox(Database(sys.argv[1])))
one = {"crm": endpoint(sys.argv[2])}
asyncio.run(WebhookDispatcher(store, one, GIVE_UP_SECONDS, 1e6).run())
"""


def test_a_kill_between_the_call_and_its_record_loses_nothing(
    database: Database, url: str, receiver: WebhookReceiver
) -> None:
    """It is sent again, with the same id."""
    now = time.time()
    outbox = Outbox(database)
    store = WebhookStore(outbox)
    store.begin("crm")
    (message_id,) = send(outbox)
    receiver.answer = lambda _: _killed(child)
    child = subprocess.Popen([sys.executable, "-c", CHILD, url, receiver.url])
    assert child.wait(WAIT_SECONDS) == -signal.SIGKILL
    assert only(store).state is WebhookState.PENDING
    receiver.answer = lambda _: 204
    later = WebhookStore(Outbox(database, lambda: now + LEASE_SECONDS + WAIT_SECONDS))
    settle(dispatcher_of(later, endpoint(receiver.url)))
    first, second = receiver.received
    assert (first.id, first.body) == (second.id, second.body)
    assert first.json["data"]["message_id"] == message_id
    assert only(store).state is WebhookState.DONE


def _killed(child: subprocess.Popen[bytes]) -> int:
    os.kill(child.pid, signal.SIGKILL)
    child.wait(WAIT_SECONDS)
    return 204
