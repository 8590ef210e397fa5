"""What a courier has claimed ahead: for how long, and what becomes of it.

A backlog leaves until the server hangs. From then on two messages are under way, and
some wait in the courier's hands for a place.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from flask_outbox import Search, State
from flask_outbox.courier import local_queue
from flask_outbox.courier.claimer import Claimer
from flask_outbox.courier.local_queue import AHEAD_SECONDS, MOST_AHEAD, LocalQueue
from flask_outbox.delivery import Envelope
from flask_outbox.outbox import Outbox
from flask_outbox.outbox.records import Claim, Recorded
from tests.mail.conftest import MakeSite
from tests.mail.site import Site
from tests.servers import Behaviour, JournalSmtp
from tests.servers.model_smtp import Habits, Model, ModelSmtp, Riders
from tests.waiting import WAIT_SECONDS, eventually

BACKLOG = 300
LEAVES = 100
"""How many leave before the server hangs."""

PLACES = 2


@pytest.fixture
def backlogged(
    make_site: MakeSite,
    server: JournalSmtp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Site:
    """A site in the middle of its backlog, at a server that hangs from now on."""
    monkeypatch.setattr(local_queue, "STALL_SECONDS", 3_600.0)
    settings = {
        "OUTBOX_URL": f"sqlite:///{tmp_path / 'outbox.db'}",
        "OUTBOX_CONCURRENCY": PLACES,
        "OUTBOX_POLL_SECONDS": 0.05,
        "OUTBOX_GRACE_SECONDS": 0.1,
    }
    sender = make_site(OUTBOX_ENGINE="external", **settings)
    for _ in range(BACKLOG):
        sender.send()
    site = make_site(**settings)
    site.make_ready()
    server.wait_for(LEAVES)
    server.behaviour = Behaviour(hang=True)
    server.wait_until(lambda: server.held == PLACES)
    assert eventually(lambda: leased(site) > PLACES)
    return site


def leased(site: Site) -> int:
    return site.counts().get(State.LEASED, 0)


def histories(site: Site, state: State) -> set[tuple[str, ...]]:
    """What kinds of event the messages in a state have, of which each has others."""
    with site.app.app_context():
        found = site.mail.search(Search(state=state), limit=BACKLOG).messages
        records = [site.mail.get(one.id) for one in found]
        return {tuple(event.kind for event in one.events) for one in records}


def test_a_pause_returns_it_at_once_without_an_event(
    backlogged: Site, server: JournalSmtp
):
    with backlogged.app.app_context():
        backlogged.mail.pause("default")
    assert eventually(lambda: leased(backlogged) == PLACES)
    assert histories(backlogged, State.PENDING) == {("enqueued",)}
    server.behaviour = Behaviour()
    backlogged.mail.resume("default")
    assert backlogged.mail.drain(WAIT_SECONDS)
    assert len(server.mails) == BACKLOG


def test_a_server_that_stalls_loses_it_to_other_couriers(
    backlogged: Site, server: JournalSmtp, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(local_queue, "STALL_SECONDS", 0.0)
    assert eventually(lambda: leased(backlogged) == PLACES)
    server.behaviour = Behaviour()
    assert backlogged.mail.drain(WAIT_SECONDS)
    assert len(server.mails) == BACKLOG


def test_a_courier_that_stops_gives_it_back(backlogged: Site, server: JournalSmtp):
    with backlogged.app.app_context():
        backlogged.mail.stop()
    assert leased(backlogged) == 0
    assert ("enqueued",) in histories(backlogged, State.PENDING)
    assert len(server.mails) < BACKLOG


def test_a_more_urgent_message_overtakes_those_claimed_ahead(
    backlogged: Site, server: JournalSmtp
):
    urgent = backlogged.send("eve@example.org", priority=5)
    queue = backlogged.courier._claimer.queues["default"]
    assert eventually(lambda: urgent.id in queue.ids())
    arrived = len(server.mails)
    server.behaviour = Behaviour()
    assert backlogged.mail.drain(WAIT_SECONDS)
    places = [
        place
        for place, mail in enumerate(server.mails[arrived:])
        if mail.recipients == ("eve@example.org",)
    ]
    assert places[0] <= PLACES + 1


def test_messages_leave_while_the_ends_of_others_are_being_written(
    make_site: MakeSite,
    server: JournalSmtp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """Those that wait for it take no place from those that are claimed ahead."""
    most_ahead, written = 20, threading.Event()
    monkeypatch.setattr(local_queue, "MOST_AHEAD", most_ahead)
    monkeypatch.setattr(Claimer, "overlaps", True)  # as on a database server
    monkeypatch.setattr(local_queue, "AHEAD_SECONDS", 3_600.0)
    record = Outbox.record

    def record_later(*args: Any) -> Recorded:
        written.wait(WAIT_SECONDS)
        return record(*args)

    settings = {
        "OUTBOX_URL": f"sqlite:///{tmp_path / 'outbox.db'}",
        "OUTBOX_CONCURRENCY": PLACES,
        "OUTBOX_POLL_SECONDS": 0.05,
    }
    sender = make_site(OUTBOX_ENGINE="external", **settings)
    for _ in range(BACKLOG):
        sender.send()
    with monkeypatch.context() as patched:
        patched.setattr(Outbox, "record", record_later)
        site = make_site(**settings)
        site.make_ready()
        server.wait_for(PLACES + most_ahead + most_ahead // 2)
        assert leased(site) <= PLACES + 2 * most_ahead
        written.set()
    assert site.mail.drain(60)
    assert len(server.mails) == BACKLOG


def claim(id: str, priority: int = 0) -> Claim:
    envelope = Envelope("shop@example.com", ("ada@example.org",))
    return Claim(id, "c", 1, 1, 0, "default", envelope, b"", 0.0, priority=priority)


def test_the_most_urgent_comes_first_and_then_the_first():
    queue = LocalQueue()
    for id, priority in [("A", 0), ("B", 5), ("C", 0), ("D", -1), ("E", 5)]:
        queue.push(claim(id, priority))
    assert queue.least_priority == -1
    assert set(queue.ids()) == set("ABCDE")
    assert queue.pop().id == "B"
    assert [one.id for one in queue.empty()] == ["E", "A", "C", "D"]
    assert len(queue) == 0
    assert queue.least_priority is None


def test_messages_that_are_to_be_rendered_wait_apart():
    queue, taken = LocalQueue(), list[Claim]()
    for id, priority in [("A", 0), ("B", 5), ("C", 0)]:
        queue.push_unrendered(claim(id, priority))
    queue.push(claim("D", -1))
    assert queue.least_priority == -1
    assert set(queue.ids()) == set("ABCD")
    assert queue.pop_unrendered(taken) is taken[0]
    assert taken[0].id == "B"
    assert queue.pop().id == "D"
    assert (queue.any_ready, queue.needs_rendering(1), len(queue)) == (False, True, 2)
    queue.push(claim("B", 5))
    assert [one.id for one in queue.empty()] == ["B", "A", "C"]
    assert queue.pop_unrendered(taken) is None
    assert len(taken) == 1


def test_a_queue_is_half_empty_once_after_each_claim():
    queue = LocalQueue()
    for id in "ABCDE":
        queue.push(claim(id))
    half_empty = []
    for _ in "ABCDE":
        queue.pop()
        half_empty.append(queue.half_empty)
    assert half_empty == [False, False, True, False, False]


def test_as_many_are_claimed_ahead_as_have_just_left():
    now = [0.0]
    queue = LocalQueue(lambda: now[0])
    assert queue.ahead() == 0
    for _ in range(40):
        queue.count_end()
    assert queue.ahead() == 40
    now[0] += AHEAD_SECONDS
    queue.count_end()
    assert queue.ahead() == 40
    now[0] += AHEAD_SECONDS
    assert queue.ahead() == 1
    for _ in range(2 * MOST_AHEAD):
        queue.count_end()
    assert queue.ahead() == MOST_AHEAD
    now[0] += 2 * AHEAD_SECONDS
    assert queue.ahead() == 0


def test_messages_ride_behind_the_one_that_is_delivered(
    make_site: MakeSite, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """As the server's greeting allows; so two are in flight where there is one place.

    That server counts the riders that it meets, because it cannot cope with them.
    """
    model = Model(Habits(riders=Riders.REFUSED))
    with ModelSmtp(model, "model.test ESMTP Postfix") as server:
        settings = {
            "MAIL_URL": f"smtp://{server.host}:{server.port}",
            "MAIL_MAX_CONNECTIONS": 1,
            "OUTBOX_URL": f"sqlite:///{tmp_path / 'outbox.db'}",
            "OUTBOX_CONCURRENCY": 1,
        }
        sender = make_site(OUTBOX_ENGINE="external", **settings)
        for _ in range(20):
            sender.send()
        site = make_site(**settings)
        site.make_ready()
        assert site.mail.drain(WAIT_SECONDS)
        site.close()
    assert site.counts() == {State.SENT: 20}
    assert model.riders_met == 1
    assert "answered 503" in caplog.text
