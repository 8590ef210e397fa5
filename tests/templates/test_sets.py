"""Messages of a backlog are rendered together, ahead of their turn."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from sqlalchemy import Connection

from flask_outbox import State, signals
from flask_outbox.courier import rendering
from flask_outbox.courier.local_queue import LocalQueue
from flask_outbox.courier.rendering import RENDER_THREADS
from flask_outbox.outbox import Rendition, claim
from flask_outbox.outbox.records import Claim
from tests.mail.conftest import MakeSite
from tests.mail.site import Site
from tests.servers import Behaviour, JournalSmtp
from tests.templates.stationery import Stationery, said

BACKLOG = 20


@pytest.fixture(autouse=True)
def all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A courier claims and renders the whole backlog, however fast it is."""
    monkeypatch.setattr(LocalQueue, "ahead", lambda _: BACKLOG)
    monkeypatch.setattr(rendering, "SET_SECONDS", 3_600.0)


@pytest.fixture
def desk(make_site: MakeSite, tmp_path) -> Stationery:
    """A desk whose courier has one place, and begins when a test makes it ready."""
    site = make_site(
        SERVER_NAME="shop.example.com",
        OUTBOX_CONCURRENCY=1,
        OUTBOX_GRACE_SECONDS=0.1,
        MAIL_PIPELINE_AFTER_CONTENT=False,
    )
    desk = Stationery(site, tmp_path)
    desk.write("bill.txt", "Dear {{ name }}")
    return desk


def test_a_backlog_is_rendered_in_few_transactions_and_needs_no_place(
    desk: Stationery, server: JournalSmtp, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[int] = []
    store = claim.store_renditions

    def count(connection: Connection, renditions: Sequence[Rendition]) -> list[Claim]:
        stored.append(len(renditions))
        return store(connection, renditions)

    monkeypatch.setattr(claim, "store_renditions", count)
    server.behaviour = Behaviour(hang=True)
    receipts = [desk.keep_later(subject="x", name="Ada") for _ in range(BACKLOG)]
    desk.site.make_ready()
    desk.site.wait_for(signals.message_rendered, BACKLOG)
    assert sum(stored) == BACKLOG
    assert len(stored) <= RENDER_THREADS
    assert not server.mails
    server.behaviour = Behaviour()
    for one in receipts:
        assert desk.site.settled(one).state is State.SENT
    assert len(server.mails) == BACKLOG


def test_no_more_is_rendered_ahead_than_there_is_memory_for(
    desk: Stationery, server: JournalSmtp, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = 3
    line = "Dear Ada\n"
    monkeypatch.setattr(rendering, "SET_BYTES", (fit - 1) * 1_000 * len(line))
    desk.write("bill.txt", "{{ line * 1_000 }}")
    receipts = [desk.keep_later(subject="x", line=line) for _ in range(BACKLOG)]
    desk.site.make_ready()
    for one in receipts:
        assert desk.site.settled(one).state is State.SENT
    ahead, most = 0, 0
    for heard in desk.site.heard:
        ahead += heard.signal is signals.message_rendered
        ahead -= heard.signal is signals.message_began
        most = max(most, ahead)
    assert most <= fit * RENDER_THREADS + fit


def test_what_is_more_urgent_is_rendered_whatever_is_ready(
    desk: Stationery, server: JournalSmtp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "SET_BYTES", 1)
    server.behaviour = Behaviour(hang=True)
    receipts = [desk.keep_later(subject="x", name="Ada") for _ in range(BACKLOG)]
    desk.site.make_ready()
    server.wait_until(lambda: server.held == 1)
    with desk.site.app.app_context():
        message = desk.compose(subject="x", render="later", name="Eve")
        urgent = desk.site.mail.send(message, priority=5)
    desk.site.wait_until(lambda: urgent.id in rendered(desk.site), "it is rendered")
    assert len(rendered(desk.site)) < BACKLOG
    server.behaviour = Behaviour()
    for one in receipts:
        assert desk.site.settled(one).state is State.SENT


def test_a_mistake_fails_the_message_that_has_it_and_no_other(
    desk: Stationery, server: JournalSmtp
) -> None:
    desk.write("bill.txt", "Dear\n{{ names[0] }}")
    lists: list[list[str]] = [["Ada"], [], ["Bob"], ["Cy"]]
    receipts = [desk.keep_later(subject="x", names=names) for names in lists]
    desk.site.make_ready()
    records = [desk.site.settled(one) for one in receipts]
    assert [one.state for one in records if one.state is not State.SENT] == [
        State.FAILED
    ]
    assert "mail/bill.txt, line 2" in str(records[1].recipients[0].reply)
    told = [said(one.content, "plain").split()[1] for one in server.mails]
    assert sorted(told) == ["Ada", "Bob", "Cy"]


def test_a_courier_that_stops_returns_what_is_not_rendered(
    desk: Stationery, make_site: MakeSite
) -> None:
    waits, go_on = threading.Semaphore(0), threading.Event()

    def wait() -> str:
        waits.release()
        go_on.wait()
        return ""

    site = desk.site
    site.app.jinja_env.globals["wait"] = wait
    desk.write("bill.txt", "{{ wait() }}")
    receipts = [desk.keep_later(subject="x") for _ in range(RENDER_THREADS + 2)]
    site.make_ready()
    for _ in range(RENDER_THREADS):
        waits.acquire()
    later = make_site(OUTBOX_URL=site.runtime.settings.url, OUTBOX_ENGINE="external")
    site.close()
    go_on.set()
    for one in receipts:
        record = later.get(one)
        assert (record.state, record.attempts) == (State.PENDING, ())


def rendered(site: Site) -> set[str]:
    """The ids of the messages that were rendered so far."""
    return {one["message_id"] for one in site.told(signals.message_rendered)}
