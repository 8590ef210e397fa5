"""The audit trail in each database."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from flask_outbox.outbox import REVISION, MessageActions, Outbox
from flask_outbox.outbox.batch_store import BatchStore
from flask_outbox.outbox.records import Act, Actor, AuditSearch

from .conftest import Opener
from .making import Clock, put

EVA = Actor("eva", "dashboard")


def test_lines_are_written_counted_found_and_pruned(
    outbox: Outbox, clock: Clock
) -> None:
    began = datetime.fromtimestamp(clock(), UTC)
    id = put(outbox)
    outbox.act(MessageActions.cancel, id, EVA)
    clock.advance(60)
    line = outbox.trail.note(EVA, Act.PRUNE, many=0)
    outbox.prune(1e9, 1e9, line=line)
    outbox.prune(0, 1e9, line=line)
    clock.advance(1)
    outbox.trail.note_view(EVA, id)
    clock.advance(1)
    outbox.trail.note_view(EVA, id)
    outbox.trail.note_view(Actor("max", "dashboard"), id)

    page = outbox.trail.find(limit=2)
    assert [(one.act, one.actor) for one in page.lines] == [
        ("view", "max"), ("view", "eva"),
    ]  # fmt: skip
    older = outbox.trail.find(AuditSearch(before=page.older), limit=2)
    assert [(one.act, one.many, one.target) for one in older.lines] == [
        ("prune", 1, ""), ("cancel", 1, id),
    ]  # fmt: skip
    assert older.older is None
    first = older.lines[1]
    assert first.at == began
    until = datetime.fromtimestamp(began.timestamp() + 30, UTC)
    assert outbox.trail.find(AuditSearch(until=until)).lines == (first,)
    assert len(outbox.trail.find(AuditSearch(since=until)).lines) == 3
    assert outbox.trail.find(AuditSearch(act=Act.CANCEL)).lines == (first,)
    both = AuditSearch(target=id, actor="eva")
    assert len(outbox.trail.find(both).lines) == 2

    outbox.prune(1e9, 1e9, audit_seconds=30.0)
    assert first not in outbox.trail.find().lines
    clock.advance(60)
    outbox.prune(1e9, 1e9)
    assert len(outbox.trail.find().lines) == 3
    outbox.prune(1e9, 1e9, audit_seconds=30.0)
    assert outbox.trail.find().lines == ()


def test_people_who_act_at_once_are_all_recorded(outbox: Outbox) -> None:
    together = threading.Barrier(8)

    def act(number: int) -> None:
        together.wait()
        outbox.pause_lane_by_operator("default", "", Actor(f"p{number}", "cli"))

    threads = [threading.Thread(target=act, args=[number]) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    found = outbox.trail.find().lines
    assert {one.actor for one in found} == {f"p{number}" for number in range(8)}


def test_of_many_who_make_the_tables_one_did(bare_url: str, opener: Opener) -> None:
    outboxes = [opener(bare_url) for _ in range(4)]
    together = threading.Barrier(len(outboxes))

    def init(outbox: Outbox) -> None:
        together.wait()
        outbox.upgrade(Act.INIT, EVA)

    with ThreadPoolExecutor(len(outboxes)) as pool:
        [*pool.map(init, outboxes)]
    (line,) = outboxes[0].trail.find().lines
    assert (line.act, line.target, line.actor) == ("init", REVISION, "eva")


def test_the_messages_of_a_batch_are_counted(outbox: Outbox) -> None:
    store = BatchStore(outbox)
    batch = store.begin("news", None, None, None).id
    for row in range(1, 4):
        put(outbox, batch=batch, batch_row=row)
    store.cancel(batch, actor=EVA)
    (line,) = outbox.trail.find().lines
    assert (line.act, line.batch_id, line.many) == ("cancel batch", batch, 3)
