"""The list of mail in which each batch is one row."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from flask_outbox.delivery import State
from flask_outbox.outbox import Outbox, search
from flask_outbox.outbox.batch_store import BatchStore
from flask_outbox.outbox.ids import dated, new_id
from flask_outbox.outbox.records import BatchSummary, MessageSummary, Page, Search

from .making import Clock, new_message, put

ROWS = 3
"""How many messages each batch has."""


@pytest.fixture
def mixed(outbox: Outbox, clock: Clock) -> list[str]:
    """Ten seconds of mail: in each a message alone and a batch; names, newest first."""
    names = []
    for second in range(10):
        put_alone(outbox, f"alone {second}")
        clock.advance(0.5)
        put_batch(outbox, f"batch {second}")
        clock.advance(0.5)
        names += [f"alone {second}", f"batch {second}"]
    return names[::-1]


def put_alone(outbox: Outbox, subject: str) -> str:
    id = dated(new_id(), outbox.clock())
    named = {"id": id, "rfc_message_id": f"<{id}@example.org>"}
    return put(outbox, subject=subject, **named)


def put_batch(outbox: Outbox, name: str, rows: int = ROWS) -> str:
    store, now = BatchStore(outbox), outbox.clock()
    progress = store.begin(name, "news", None, None)
    messages = [
        new_message(
            now,
            id=dated(new_id(), now - 0.1),
            batch=progress.id,
            batch_row=row,
            subject=name,
        )
        for row in range(1, rows + 1)
    ]
    store.store_rows(progress, messages, "digest")
    return progress.id


def name(row: MessageSummary | BatchSummary) -> str:
    return row.name if isinstance(row, BatchSummary) else row.subject


def names(page: Page) -> list[str]:
    return [name(one) for one in page.rows]


def test_pages_have_every_row_once_both_ways(outbox: Outbox, mixed: list[str]) -> None:
    down = [outbox.search(Search(), 3, fold=True)]
    while down[-1].older:
        down.append(outbox.search(Search(), 3, before=down[-1].older, fold=True))
    assert [name(row) for page in down for row in page.rows] == mixed
    assert {len(page.rows) for page in down[:-1]} == {3}
    up = [down[-1]]
    while up[-1].newer:
        up.append(outbox.search(Search(), 3, after=up[-1].newer, fold=True))
    assert [name(row) for page in up[::-1] for row in page.rows] == mixed
    for older, newer in pairwise(up):
        assert older.newer == newer.older


def test_a_batch_has_its_counts(outbox: Outbox, mixed: list[str]) -> None:
    store = BatchStore(outbox)
    (batch,) = [one for one in store.newest() if one.name == "batch 7"]
    (half,) = [one for one in store.newest() if one.name == "batch 8"]
    store.cancel(batch.id)
    store.pause(half.id)
    found = {one.name: one for one in outbox.search(Search(), fold=True).batches}
    assert found["batch 9"].messages == ROWS
    assert found["batch 9"].tag == "news"
    for each, state in {
        "batch 7": State.CANCELLED,
        "batch 8": State.PAUSED,
        "batch 9": State.PENDING,
    }.items():
        counts = found[each].counts
        assert {one: str(number) for one, number in counts.items()} == {state: "3"}
    assert store.newest()[0].counts == {State.PENDING: ROWS}


def test_the_time_is_searched_in_batches_too(outbox: Outbox, mixed: list[str]) -> None:
    now = outbox.clock()
    wanted = Search(
        since=datetime.fromtimestamp(now - 2, UTC),
        until=datetime.fromtimestamp(now - 1, UTC),
    )
    assert names(outbox.search(wanted, fold=True)) == mixed[2:4]


def test_a_large_batch_is_passed_and_stands_at_its_end(
    outbox: Outbox, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "FIRST_WINDOW", 5)
    monkeypatch.setattr(search, "SCAN_LIMIT", 10)
    put_alone(outbox, "before")
    clock.advance(1)
    put_batch(outbox, "large", rows=150)
    first = outbox.search(Search(), fold=True)
    assert names(first) == ["large"]
    assert first.looked_to
    second = outbox.search(Search(), before=first.older, fold=True)
    assert names(second) == ["before"]
    assert (second.older, second.looked_to) == (None, None)
