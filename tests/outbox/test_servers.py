"""A database server that loses connections or holds locks for long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext

import pytest
from sqlalchemy import Connection, make_url

from flask_outbox.delivery import State
from flask_outbox.errors import OutboxUnavailable
from flask_outbox.outbox import Database, MessageActions, Outbox, dialects
from flask_outbox.outbox.records import Claim
from flask_outbox.outbox.statements import pipelined
from tests.process_models.proxy import Proxy
from tests.waiting import eventually

from .conftest import Opener
from .databases import SERVERS
from .making import COURIER, new_message, put, sent

pytestmark = pytest.mark.parametrize("home", [*SERVERS], indirect=True)

OTHERS = {
    "postgresql": "SELECT pid FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "mysql": "SELECT id FROM information_schema.processlist "
    "WHERE db = database() AND id <> connection_id()",
}
PORTS = {"postgresql": 5432, "mysql": 3306}
KILL = {"postgresql": "SELECT pg_terminate_backend({}, 5000)", "mysql": "KILL {}"}
SLEEP = {"postgresql": "pg_sleep(0.1) IS NOT NULL", "mysql": "sleep(0.1) = 0"}


@pytest.fixture
def kill_connections(opener: Opener, url: str) -> Iterator[Callable[[], int]]:
    """Kills every connection to the outbox but its own; how many there were."""
    engine = Database(url).new_engine()
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    name = engine.dialect.name

    def kill() -> int:
        others = connection.exec_driver_sql(OTHERS[name]).scalars().all()
        for one in others:
            connection.exec_driver_sql(KILL[name].format(one))
        return len(others)

    kill()
    yield kill
    connection.close()
    engine.dispose()


def test_a_message_is_stored_in_one_round_trip(url: str, opener: Opener) -> None:
    server = make_url(url)
    with Proxy(server.port or PORTS[server.get_backend_name()]) as proxy:
        there = server.set(host=proxy.host, port=proxy.port)
        outbox = opener(there.render_as_string(hide_password=False))
        put(outbox)
        round_trips = []
        for _ in range(5):
            before = proxy.round_trips
            put(outbox)
            round_trips.append(proxy.round_trips - before)
        outbox.database.close()

    # A test that is held up meanwhile also asks whether the connection is alive.
    assert min(round_trips) == 1


def test_a_connection_lost_while_idle_fails_no_call(
    outbox: Outbox, kill_connections: Callable[[], int]
) -> None:
    first = put(outbox)
    assert kill_connections() > 0

    second = put(outbox)
    assert kill_connections() > 0
    assert {one.id for one in outbox.list()} == {first, second}


def test_a_connection_lost_in_use_is_reported(
    outbox: Outbox, kill_connections: Callable[[], int]
) -> None:
    put(outbox)

    def work(connection: Connection) -> None:
        assert kill_connections() > 0
        connection.exec_driver_sql("DELETE FROM outbox_lane")

    with pytest.raises(OutboxUnavailable) as caught:
        outbox.database.write(work)

    assert outbox.database.shown in str(caught.value)
    put(outbox)
    assert outbox.status().due == 2


def test_a_connection_lost_before_the_commit_is_an_error(
    outbox: Outbox, kill_connections: Callable[[], int]
) -> None:
    new = new_message(outbox.clock())

    def work(connection: Connection) -> None:
        connection.exec_driver_sql("DELETE FROM outbox_message")
        assert kill_connections() > 0

    put(outbox)
    with pytest.raises(OutboxUnavailable):
        outbox.database.write(work)
    outbox.enqueue([new])
    assert outbox.status().counts[State.PENDING] == 2


def test_waiting_too_long_for_a_lock_is_an_error(
    url: str, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialects, "BUSY_SECONDS", 1.0)
    outbox, other = opener(url), opener(url)
    message_id = put(outbox)

    def hold(connection: Connection) -> None:
        connection.exec_driver_sql("UPDATE outbox_message SET priority = priority")
        with pytest.raises(OutboxUnavailable, match="held a lock for too long"):
            other.act(MessageActions.cancel, message_id)

    outbox.database.write(hold)
    other.act(MessageActions.cancel, message_id)
    assert outbox.get(message_id).state is State.CANCELLED


@pytest.mark.parametrize("within", [nullcontext, pipelined], ids=["alone", "pipelined"])
def test_a_silent_transaction_blocks_no_one_for_long(
    url: str,
    opener: Opener,
    monkeypatch: pytest.MonkeyPatch,
    within: Callable[[Connection], AbstractContextManager[None]],
) -> None:
    """As when its process stands still: nobody tells the server."""
    monkeypatch.setattr(dialects, "ANSWER_SECONDS", 1)
    silent, other = opener(url), opener(url)
    message_id = put(other)

    def fall_silent(connection: Connection) -> list[Claim]:
        with within(connection):
            connection.exec_driver_sql(
                "UPDATE outbox_message SET priority = 9 "
                f"WHERE {SLEEP[connection.dialect.name]}"  # nothing is answered before
            )
        return eventually(lambda: other.claim(COURIER, "default", 1))

    with pytest.raises(OutboxUnavailable):
        silent.database.write(fall_silent)

    assert other.leased_to(COURIER) == [message_id]
    assert other.get(message_id).priority == 0


def test_couriers_that_work_at_the_same_time_cause_no_error_and_send_once(
    url: str, opener: Opener
) -> None:
    """No deadlock reaches anyone, and nothing is sent twice."""
    outboxes = [opener(url) for _ in range(4)]
    clock = outboxes[0].clock

    def send(number: int) -> None:
        outboxes[number % 4].enqueue([new_message(clock(), priority=number % 3)])

    def deliver(number: int) -> list[str]:
        outbox, courier = outboxes[number], f"courier-{number}"
        outbox.register(courier, "thread", 20)
        delivered: list[str] = []
        for _ in range(40):
            claims = outbox.claim(courier, "default", 5)
            assert outbox.record([sent(held, clock()) for held in claims]).lost == []
            delivered += [held.id for held in claims]
            outbox.renew(courier, 20)
            outbox.rescue(hold_unknown=False)
        outbox.resign(courier)
        return delivered

    with ThreadPoolExecutor(12) as threads:
        couriers = [threads.submit(deliver, number) for number in range(4)]
        list(threads.map(send, range(200)))
        delivered = [one for courier in couriers for one in courier.result()]

    assert len(delivered) == len(set(delivered))
    counts = outboxes[0].status().counts
    assert counts[State.SENT] == len(delivered)
    assert counts[State.SENT] + counts[State.PENDING] == 200
