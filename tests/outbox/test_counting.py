"""Counting: each tab and lane, exactly up to a limit, and then not any further."""

from __future__ import annotations

import pytest

from flask_outbox.outbox import counting, searches
from flask_outbox.outbox.searches import Count, Tab
from flask_outbox.outbox.store import Outbox

from .making import COURIER, Clock, claim_one, enlist, failed, put, sent, unknown


def counted(outbox: Outbox) -> dict[Tab, str]:
    return {tab: str(count) for tab, count in outbox.counts().items() if count.number}


def test_every_tab_is_counted(outbox: Outbox, clock: Clock) -> None:
    for end in (sent, failed, unknown):
        put(outbox)
        outbox.record([end(claim_one(outbox), clock.now)])
    outbox.cancel(put(outbox))
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
    assert outbox.glance().lanes == ()


def test_what_is_scheduled_waits_when_its_time_comes(
    outbox: Outbox, clock: Clock
) -> None:
    put(outbox, due_at=clock.now + 60)
    clock.advance(60)

    assert counted(outbox) == {Tab.WAITING: "1"}


def test_what_is_too_many_is_not_counted_out(
    outbox: Outbox, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (searches, counting):
        monkeypatch.setattr(module, "COUNT_LIMIT", 3)
    for lane in ("bulk", "default"):
        for priority in (0, 7):
            put(outbox, lane=lane, priority=priority)
    for _ in range(3):
        put(outbox, due_at=clock.now + 60)
        outbox.cancel(put(outbox))

    assert counted(outbox) == {
        Tab.WAITING: "3+",
        Tab.SCHEDULED: "3",
        Tab.CANCELLED: "3",
    }
    assert not outbox.counts()[Tab.WAITING].exact


def test_many_are_said_as_people_read_them() -> None:
    assert str(Count.of(1_234)) == "1,234"
    assert str(Count.of(10_000)) == "10,000"
    assert str(Count.of(10_001)) == "10,000+"


def test_a_glance_says_what_status_says(outbox: Outbox, clock: Clock) -> None:
    enlist(outbox)
    put(outbox)
    put(outbox, lane="bulk", due_at=clock.now + 60)
    put(outbox, owner=COURIER)
    outbox.hold_lane("bulk", "maintenance")
    outbox.pause_lane("other", clock.now + 30, "refused")

    found, status = outbox.glance(), outbox.status()

    assert found.lanes == status.lanes
    assert found.couriers == status.couriers
    assert found.counts[Tab.WAITING] == Count(status.due)
