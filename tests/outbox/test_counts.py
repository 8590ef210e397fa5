"""Counts of each tab and lane: exact up to a limit."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from flask_outbox.outbox import MessageActions, Outbox, read, records
from flask_outbox.outbox.records import Count, Tab

from .making import (
    COURIER,
    Clock,
    claim_one,
    enlist,
    failed,
    new_message,
    put,
    sent,
    unknown,
)


def counted(outbox: Outbox) -> dict[Tab, str]:
    return {tab: str(count) for tab, count in outbox.counts().items() if count.number}


def test_every_tab_is_counted(outbox: Outbox, clock: Clock) -> None:
    for end in (sent, failed, unknown):
        put(outbox)
        outbox.record([end(claim_one(outbox), clock.now)])
    outbox.act(MessageActions.cancel, put(outbox))
    put(outbox, owner=COURIER)
    put(outbox)
    put(outbox, lane="bulk", priority=5)
    put(outbox, due_at=clock.now + 60)

    assert counted(outbox) == {
        Tab.WAITING: "2",
        Tab.SCHEDULED: "1",
        Tab.LEASED: "1",
        Tab.SENT: "1",
        Tab.FAILED: "1",
        Tab.UNKNOWN: "1",
        Tab.CANCELLED: "1",
    }
    assert list(outbox.counts()) == list(Tab)
    assert outbox.counts()[Tab.SUPPRESSED] == Count(0)


def test_an_empty_outbox(outbox: Outbox) -> None:
    assert counted(outbox) == {}
    assert outbox.overview().lanes == ()


def test_a_scheduled_message_is_waiting_once_it_is_due(
    outbox: Outbox, clock: Clock
) -> None:
    put(outbox, due_at=clock.now + 60)
    clock.advance(60)

    assert counted(outbox) == {Tab.WAITING: "1"}


def test_counting_stops_at_the_limit(
    outbox: Outbox, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (records, read):
        monkeypatch.setattr(module, "COUNT_LIMIT", 3)
    for lane in ("bulk", "default"):
        for priority in (0, 7):
            put(outbox, lane=lane, priority=priority)
    for _ in range(3):
        put(outbox, due_at=clock.now + 60)
        outbox.act(MessageActions.cancel, put(outbox))

    assert counted(outbox) == {
        Tab.WAITING: "3+",
        Tab.SCHEDULED: "3",
        Tab.CANCELLED: "3",
    }
    assert not outbox.counts()[Tab.WAITING].exact


def test_a_thousand_lanes_are_counted_in_as_few_statements_as_one(
    outbox: Outbox, clock: Clock
) -> None:
    def statements() -> int:
        asked: list[str] = []

        def note(*given: Any) -> None:
            asked.append(given[2])

        event.listen(outbox.database.engine, "before_cursor_execute", note)
        try:
            outbox.overview()
        finally:
            event.remove(outbox.database.engine, "before_cursor_execute", note)
        return len(asked)

    put(outbox)
    of_one = statements()
    outbox.enqueue(
        [
            new_message(clock.now, lane=f"customer-{number}", due_at=clock.now + later)
            for number in range(1_000)
            for later in (0, 60)
        ]
    )
    assert statements() == of_one
    lanes = outbox.overview().lanes
    assert len(lanes) == 1_001
    assert {(one.due, one.waiting) for one in lanes} == {(1, 1), (1, 2)}


def test_a_limited_count_is_shown_as_such() -> None:
    assert str(Count.of(1_234)) == "1,234"
    assert str(Count.of(10_000)) == "10,000"
    assert str(Count.of(10_001)) == "10,000+"


def test_the_overview_agrees_with_the_status(outbox: Outbox, clock: Clock) -> None:
    enlist(outbox)
    put(outbox)
    put(outbox, lane="bulk", due_at=clock.now + 60)
    put(outbox, owner=COURIER)
    outbox.pause_lane_by_operator("bulk", "maintenance")
    outbox.pause_lane("other", clock.now + 30, "refused")

    found, status = outbox.overview(), outbox.status()

    assert found.lanes == status.lanes
    assert found.couriers == status.couriers
    assert found.counts[Tab.WAITING] == Count(status.due)
