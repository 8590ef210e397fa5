"""Workers on several machines that share one outbox."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import text

from flask_outbox import State
from flask_outbox.outbox import Database
from tests.cli.conftest import MakeShop
from tests.cli.shop import PATIENCE_SECONDS, Process, Shop
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import eventually

NEVER_SECONDS = 3_600
"""How often couriers look by themselves: what arrives, arrives since they are rung."""

LISTENING = (
    "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
)


@pytest.fixture(autouse=True)
def several_machines(database: Database) -> None:
    """Leave out what several machines cannot share."""
    if database.embedded:
        pytest.skip("a file is for the processes of one machine")


@pytest.fixture
def shop(make_shop: MakeShop, url: str) -> Shop:
    """A shop on each database in turn."""
    return make_shop(OUTBOX_URL=url)


@pytest.fixture
def woken(make_shop: MakeShop, url: str, database: Database) -> Shop:
    """A shop whose couriers do not look by themselves."""
    if database.url.get_backend_name() != "postgresql":
        pytest.skip("only PostgreSQL wakes couriers")
    return make_shop(OUTBOX_URL=url, OUTBOX_POLL_SECONDS=NEVER_SECONDS)


def at_work(shop: Shop, count: int = 1) -> None:
    """Return once that many couriers work."""
    eventually(lambda: len(shop.outbox.status().couriers) == count, PATIENCE_SECONDS)


def some_listen(shop: Shop) -> list[int]:
    """Return who listens, once somebody does."""
    return eventually(lambda: listening(shop), PATIENCE_SECONDS)


def listening(shop: Shop) -> list[int]:
    """Who listens, by the numbers of the server's processes."""
    with shop.outbox.database.reading() as connection:
        return list(connection.scalars(text(f"SELECT pid {LISTENING}")))


@pytest.fixture
def workers(shop: Shop) -> Iterator[list[Process]]:
    """Two workers, as on two machines."""
    with ExitStack() as stack:
        workers = [stack.enter_context(shop.process("worker")) for _ in range(2)]
        at_work(shop, 2)
        yield workers


# -------------------------------------------------------------------- they are woken


def test_a_worker_is_woken_by_a_new_message(woken: Shop, server: JournalSmtp) -> None:
    with woken.process("worker"):
        some_listen(woken)
        for count in range(1, 6):
            woken.post()
            server.wait_for(count)


def test_a_worker_reopens_a_lost_listening_connection(
    woken: Shop, server: JournalSmtp
) -> None:
    """And finds what was handed over meanwhile."""
    with woken.process("worker") as worker:
        (line,) = some_listen(woken)
        with woken.outbox.database.engine.begin() as connection:
            connection.execute(
                text("SELECT pg_terminate_backend(:line)"), {"line": line}
            )
        woken.send()
        server.wait_for(1)
        eventually(lambda: set(listening(woken)) - {line})
        woken.send()
        server.wait_for(2)
        worker.signal(signal.SIGTERM)
        assert worker.ended() == "Ended (SIGTERM): 2 sent.\n"


def test_a_worker_is_notified_when_a_transaction_commits(
    woken: Shop, server: JournalSmtp
) -> None:
    with woken.process("worker"):
        some_listen(woken)
        with woken.outbox.database.engine.begin() as connection:
            woken.send(session=connection)
        server.wait_for(1)


def test_a_worker_is_notified_of_a_retry(woken: Shop, server: JournalSmtp) -> None:
    with woken.process("worker"):
        some_listen(woken)
        later = woken.send(delay=NEVER_SECONDS)
        woken.run("retry", later)
        server.wait_for(1)


def test_a_worker_is_notified_of_pause_and_resume(
    make_shop: MakeShop, woken: Shop, server: JournalSmtp
) -> None:
    """Mail on another lane shows that it has had the time to hear."""
    bulk = {"bulk": f"smtp://{server.host}:{server.port}"}
    shop = make_shop(**woken.config, MAIL_TRANSPORTS=bulk)
    with shop.process("worker"):
        some_listen(shop)
        shop.run("pause", "default")
        shop.send(transport="bulk")
        server.wait_for(1)
        paused = shop.send()
        shop.send(transport="bulk")
        server.wait_for(2)
        assert shop.get(paused).state is State.PENDING
        shop.run("resume")
        server.wait_for(3)


# ------------------------------------------------------- what holds across all of them


def sent_once(shop: Shop, server: JournalSmtp, ids: list[str]) -> None:
    """Fail unless each message was sent, and arrived once."""
    eventually(
        lambda: shop.outbox.status().counts[State.SENT] == len(ids), PATIENCE_SECONDS
    )
    assert server.arrived == sorted(shop.get(id).rfc_message_id for id in ids)


def test_workers_share_the_work(
    shop: Shop, server: JournalSmtp, workers: list[Process]
) -> None:
    server.behaviour = Behaviour(hang=True)
    ids = [shop.send() for _ in range(40)]
    server.wait_until(lambda: server.held == 20, PATIENCE_SECONDS)
    assert [one.leased for one in shop.outbox.status().couriers] == [10, 10]
    server.behaviour = Behaviour()
    sent_once(shop, server, ids)


def test_mail_of_a_killed_worker_is_delivered_by_another(
    make_shop: MakeShop, server: JournalSmtp, url: str
) -> None:
    shop = make_shop(OUTBOX_URL=url, OUTBOX_LEASE_SECONDS=6)
    server.behaviour = Behaviour(hang=True)
    ids = [shop.send() for _ in range(20)]
    with shop.process("worker") as first, shop.process("worker"):
        at_work(shop, 2)
        server.wait_until(lambda: server.held == 20, PATIENCE_SECONDS)
        first.signal(signal.SIGKILL)
        server.wait_until(lambda: server.held == 10, PATIENCE_SECONDS)
        server.behaviour = Behaviour()
        sent_once(shop, server, ids)


def test_a_pause_applies_to_all_workers(
    make_shop: MakeShop, server: JournalSmtp, url: str
) -> None:
    """They obey within a moment; mail on another lane shows that they looked again."""
    bulk = {"bulk": f"smtp://{server.host}:{server.port}"}
    shop = make_shop(OUTBOX_URL=url, MAIL_TRANSPORTS=bulk)
    with shop.process("worker"), shop.process("worker"):
        at_work(shop, 2)
        shop.run("pause", "default")
        paused = [shop.send(delay=2) for _ in range(5)]
        other = shop.send(delay=2, transport="bulk")
        server.wait_for(1)
        assert [shop.get(id).state for id in paused] == [State.PENDING] * 5
        shop.run("resume")
        sent_once(shop, server, [*paused, other])


def test_a_key_is_one_mail_whichever_process_sends_it(
    make_shop: MakeShop, shop: Shop, server: JournalSmtp, workers: list[Process]
) -> None:
    others = [make_shop(**shop.config) for _ in range(3)]
    ids = {one.send(key="order-7") for one in [shop, *others]}
    assert len(ids) == 1
    sent_once(shop, server, list(ids))


def test_higher_priorities_overtake_whichever_worker_delivers(
    make_shop: MakeShop, server: JournalSmtp, url: str
) -> None:
    shop = make_shop(OUTBOX_URL=url, OUTBOX_CONCURRENCY=1)
    server.behaviour = Behaviour(hang=True)
    ids = {shop.send(priority=priority): priority for priority in (0, 5, 10, -5, 10, 5)}
    with shop.process("worker"), shop.process("worker"):
        at_work(shop, 2)
        server.wait_until(lambda: server.held == 2, PATIENCE_SECONDS)
        leased = [one for one in ids if shop.get(one).state is State.LEASED]
        assert [ids[one] for one in leased] == [10, 10]
        server.behaviour = Behaviour()
        sent_once(shop, server, list(ids))


def test_a_rate_applies_to_all_workers_together(
    make_shop: MakeShop, server: JournalSmtp, url: str
) -> None:
    shop = make_shop(OUTBOX_URL=url, MAIL_RATE="7/h", OUTBOX_CONCURRENCY=2)
    for _ in range(20):
        shop.send()
    with shop.process("worker") as first, shop.process("worker") as second:
        at_work(shop, 2)
        server.wait_for(7)
        for worker in (first, second):
            worker.signal(signal.SIGTERM)
            worker.ended()
    counts = shop.outbox.status().counts
    assert (counts[State.SENT], counts[State.PENDING]) == (7, 13)
    assert len(server.mails) == 7
