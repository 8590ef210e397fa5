"""Several machines on one outbox: cut off, killed, without a database, and in step."""

from __future__ import annotations

import time

import pytest

from flask_outbox import State
from tests.waiting import eventually

from .network import HOME, WORKER_A, WORKER_B
from .stage import QUICK, Stage

WORKERS = (WORKER_A, WORKER_B)

for_each_engine = pytest.mark.parametrize(
    "stage", ["external", "celery"], indirect=True
)


def test_hosts_share_the_work(stage: Stage) -> None:
    for name in WORKERS:
        stage.start_worker(name)
    stage.mail_host.behave(delay_seconds=0.05)

    receipts = [stage.shop.send() for _ in range(20)]

    stage.wait_until_sent(receipts)
    assert stage.doubled(receipts) == set()
    couriers = {one.attempts[-1].courier for one in stage.records(receipts)}
    assert couriers == {stage.courier_of(name) for name in WORKERS}


# ------------------------------------------------------------------- when one is gone


@for_each_engine
def test_mail_of_a_host_cut_off_during_delivery_is_taken_over(stage: Stage) -> None:
    """Another takes over; and what it learns late, it learns for itself alone."""
    cut_off = stage.start_worker(WORKER_A)
    stage.mail_host.behave(hang=True)
    receipts = [stage.shop.send() for _ in range(10)]
    eventually(lambda: stage.mail_host.held == 2)
    in_hand = stage.in_hand

    stage.network[WORKER_A].cut_off()
    stage.mail_host.behave()
    stage.start_worker(WORKER_B)

    stage.wait_until_sent(receipts)
    assert stage.doubled(receipts) == in_hand  # past the final dot, and accepted
    before = stage.records(receipts)
    stage.network[WORKER_A].come_back()
    for record in before:
        if record.rfc_message_id in in_hand:
            cut_off.wait_for(f"lost its lease on message {record.id}")
    assert stage.records(receipts) == before


def test_a_host_that_is_reconnected_works_again(stage: Stage) -> None:
    back = stage.start_worker(WORKER_A)
    stage.network[WORKER_A].cut_off()
    other = stage.start_worker(WORKER_B)
    stage.wait_until_sent([stage.shop.send()])
    back.wait_for("cannot use the outbox and retries")
    other.kill()
    receipts = [stage.shop.send() for _ in range(5)]

    stage.network[WORKER_A].come_back()

    stage.wait_until_sent(receipts)
    assert stage.mail_host.copies.total() == 6


def test_mail_that_a_host_had_locked_when_it_was_cut_off_is_taken_over(
    stage: Stage,
) -> None:
    """Its connection is silent, and nobody tells the database that it is lost."""
    receipt = stage.shop.send()
    locked = stage.begin(WORKER_A, "lock-messages")
    assert locked.line() == "1"

    stage.network[WORKER_A].cut_off()
    stage.start_worker(WORKER_B)

    stage.wait_until_sent([receipt])
    stage.network[WORKER_A].come_back()


@for_each_engine
def test_mail_of_a_host_killed_during_delivery_is_taken_over(stage: Stage) -> None:
    """All of its processes, at once."""
    killed = stage.start_worker(WORKER_A, processes=2)
    stage.mail_host.behave(hang=True)
    receipts = [stage.shop.send() for _ in range(10)]
    eventually(lambda: stage.mail_host.held == 4)
    in_hand = stage.in_hand
    stage.start_worker(WORKER_B)

    killed.kill()
    stage.mail_host.behave()

    stage.wait_until_sent(receipts)
    assert len(in_hand) >= 4
    assert stage.doubled(receipts) <= in_hand


def test_delivery_continues_after_the_database_was_cut_off(stage: Stage) -> None:
    """And the mail server with it; nothing is lost, and all arrives soon after."""
    workers = [stage.start_worker(name) for name in WORKERS]
    stage.mail_host.behave(delay_seconds=0.1)
    receipts = [stage.shop.send() for _ in range(40)]
    eventually(lambda: len(stage.mail_host.mails) >= 4)

    stage.network[HOME].cut_off()
    in_hand = stage.in_hand
    for worker in workers:
        worker.wait_for("cannot use the outbox and retries")
    stage.network[HOME].come_back()

    stage.wait_until_sent(receipts)
    assert stage.doubled(receipts) <= in_hand


# ----------------------------------------------------------------------------- in step


def test_pauses_and_suppressions_apply_to_all_hosts(stage: Stage) -> None:
    """And whoever is first in the queue is first, whichever host takes it."""
    for name in WORKERS:
        stage.start_worker(name, OUTBOX_CONCURRENCY=1)
    stage.run(WORKER_A, "outbox", "pause")
    time.sleep(5 * QUICK["OUTBOX_POLL_SECONDS"])  # each courier obeys within one
    low = [stage.shop.send(priority=-1) for _ in range(5)]
    high = [stage.shop.send(priority=5) for _ in range(5)]
    barred = stage.shop.send("bob@example.org")
    time.sleep(3 * QUICK["OUTBOX_POLL_SECONDS"])
    assert stage.mail_host.mails == []
    stage.run(WORKER_B, "outbox", "suppress", "bob@example.org")
    stage.mail_host.behave(delay_seconds=0.1)

    stage.run(WORKER_B, "outbox", "resume")

    stage.wait_until_sent([*low, *high])
    assert stage.shop.get(barred).state is State.SUPPRESSED
    arrived = [mail.rfc_message_id for mail in stage.mail_host.mails]
    first = {one.rfc_message_id for one in high}
    assert set(arrived[:4]) < first  # the fifth may be on its way beside another
    assert len(arrived) == 10


def test_hosts_share_a_rate(stage: Stage) -> None:
    for _ in range(12):
        stage.shop.send()
    for name in WORKERS:
        stage.start_worker(name, MAIL_RATE="7/h")

    eventually(lambda: stage.shop.counts() == {State.SENT: 7, State.PENDING: 5})

    time.sleep(3 * QUICK["OUTBOX_POLL_SECONDS"])
    assert stage.mail_host.copies.total() == 7


def test_a_key_is_one_mail_on_all_hosts(stage: Stage) -> None:
    stage.start_worker(WORKER_A)
    programs = [stage.begin(name, "send-with-keys", "20") for name in WORKERS]

    first, second = (program.end().splitlines() for program in programs)

    assert first == second
    assert len({*first}) == 20
    eventually(lambda: stage.shop.counts() == {State.SENT: 20})
    assert stage.mail_host.copies.total() == 20
