"""Alerts: what raises and ends one, and that each is told once, by any process."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from flask_outbox.alerts import AlertKind, AlertLimits, AlertRules
from flask_outbox.counters import Counters
from flask_outbox.events import EventKind
from flask_outbox.outbox import Outbox, WebhookStore, stats_row
from flask_outbox.outbox.alerts import CALM_SECONDS, TELLING_SECONDS
from flask_outbox.outbox.lanes import ABANDONED_SECONDS
from flask_outbox.outbox.stats import MINUTE

from .conftest import Opener
from .making import COURIER, Clock, enlist, put
from .meanwhile import commits_of, meanwhile

OLDEST = AlertLimits(60.0, None, None)
DOWN = AlertLimits(None, 60.0, None)
FAILED = AlertLimits(None, None, failed_messages=5, failed_share=0.5)


@pytest.fixture
def watch(outbox: Outbox, other: Outbox) -> Outbox:
    """The outbox, as one process watches it; and ``other`` as another does."""
    for one in (outbox, other):
        one.alert_rules = AlertRules(OLDEST)
    return outbox


def limit(*outboxes: Outbox, limits: AlertLimits, **rules: frozenset[str]) -> None:
    for one in outboxes:
        one.alert_rules = AlertRules(limits, **rules)


def tell(outbox: Outbox) -> list[tuple[str, AlertKind]]:
    """Look once and tell what is new; which news that was."""
    news = outbox.look_for_alerts()
    for one in news:
        outbox.note_told(one)
    return [(one.kind, one.alert.kind) for one in news]


def wait_for_too_long(outbox: Outbox, clock: Clock) -> None:
    put(outbox)
    clock.advance(61)


def take(outbox: Outbox) -> None:
    """Have a courier take what is due."""
    enlist(outbox)
    assert outbox.claim(COURIER, "default", 10)


RAISED, ENDED = "alert_raised", "alert_ended"


# ------------------------------------------------------------------------------ telling


def test_an_alert_is_told_once_and_so_is_its_end(
    watch: Outbox, other: Outbox, clock: Clock
) -> None:
    """By one of two processes, however often both look."""
    assert tell(watch) == tell(other) == []
    wait_for_too_long(watch, clock)
    assert tell(watch) + tell(other) == [(RAISED, AlertKind.OLDEST_DUE)]
    for _ in range(10):
        clock.advance(30)
        assert tell(watch) == tell(other) == []

    take(other)
    assert tell(watch) == []
    clock.advance(CALM_SECONDS)
    assert tell(other) + tell(watch) == [(ENDED, AlertKind.OLDEST_DUE)]
    clock.advance(3_600)
    assert tell(watch) == tell(other) == []


def test_of_two_who_look_at_the_same_time_one_tells(
    watch: Outbox, other: Outbox, clock: Clock
) -> None:
    wait_for_too_long(watch, clock)
    with meanwhile(watch, "SELECT outbox_alert", lambda: tell(other)) as told:
        mine = tell(watch)
    assert mine + told.result() == [(RAISED, AlertKind.OLDEST_DUE)]


def test_of_many_who_look_at_the_same_time_one_tells(
    watch: Outbox, opener: Opener, url: str, clock: Clock
) -> None:
    outboxes = [watch, *(opener(url) for _ in range(3))]
    limit(*outboxes, limits=OLDEST)
    wait_for_too_long(watch, clock)
    begin = Barrier(len(outboxes))

    def look(outbox: Outbox) -> list[tuple[str, AlertKind]]:
        outbox.alerts()
        begin.wait()
        return tell(outbox)

    with ThreadPoolExecutor(len(outboxes)) as threads:
        told = [one for some in threads.map(look, outboxes) for one in some]
    assert told == [(RAISED, AlertKind.OLDEST_DUE)]


def test_news_that_a_killed_process_did_not_tell_is_told_by_another(
    watch: Outbox, other: Outbox, clock: Clock
) -> None:
    """With the same id, so that what takes it can know it again."""
    wait_for_too_long(watch, clock)
    (first,) = watch.look_for_alerts()
    clock.advance(TELLING_SECONDS - 1)
    assert other.look_for_alerts() == []
    clock.advance(1)
    assert other.look_for_alerts() == [first]
    other.note_told(first)
    clock.advance(TELLING_SECONDS)
    assert tell(watch) == tell(other) == []


def test_a_beginning_that_was_not_told_is_told_before_the_end(
    watch: Outbox, other: Outbox, clock: Clock
) -> None:
    wait_for_too_long(watch, clock)
    (killed,) = watch.look_for_alerts()
    take(watch)
    other.look_for_alerts()
    clock.advance(CALM_SECONDS)
    (began,) = other.look_for_alerts()
    assert (began, began.kind) == (killed, RAISED)
    other.note_told(began)
    assert tell(other) == [(ENDED, AlertKind.OLDEST_DUE)]


def test_what_comes_back_soon_is_the_same_alert(watch: Outbox, clock: Clock) -> None:
    wait_for_too_long(watch, clock)
    tell(watch)
    (before,) = watch.alerts()
    take(watch)
    tell(watch)
    clock.advance(CALM_SECONDS - 61)
    wait_for_too_long(watch, clock)
    tell(watch)
    clock.advance(CALM_SECONDS)
    assert tell(watch) == []
    assert watch.alerts() == (before,)


def test_the_same_trouble_on_another_day_is_another_alert(
    watch: Outbox, clock: Clock
) -> None:
    ids = set()
    for _ in range(2):
        wait_for_too_long(watch, clock)
        assert tell(watch) == [(RAISED, AlertKind.OLDEST_DUE)]
        (one,) = watch.alerts()
        assert one.began_at.timestamp() == pytest.approx(clock.now, abs=1e-3)
        ids.add(one.id)
        take(watch)
        tell(watch)
        clock.advance(CALM_SECONDS)
        assert tell(watch) == [(ENDED, AlertKind.OLDEST_DUE)]
        assert watch.alerts() == ()
    assert len(ids) == 2


def test_webhooks_are_queued_once_for_those_that_ask(
    watch: Outbox, other: Outbox, clock: Clock
) -> None:
    """Even where two processes tell the same, as one was thought to be dead."""
    store = WebhookStore(watch)
    store.begin("ops")
    wait_for_too_long(watch, clock)
    (news,) = watch.look_for_alerts()
    for one in (watch, other):
        one.note_told(news, ["ops"], 3_600.0)
    (queued,) = store.webhooks("ops")
    assert (queued.kind, queued.message_id, queued.id) == (RAISED, None, news.id)
    (claim,) = store.claim("ops", 10)
    body = json.loads(claim.body)
    assert body["type"] == "alert.raised"
    assert body["data"] == {
        "alert_id": news.alert.id,
        "alert": "oldest_due",
        "lane": None,
        "words": news.alert.words,
        "began_at": news.alert.began_at.isoformat(timespec="milliseconds"),
    }


def test_nothing_is_written_while_nothing_changes(watch: Outbox, clock: Clock) -> None:
    wait_for_too_long(watch, clock)
    tell(watch)
    with commits_of(watch) as commits:
        for _ in range(3):
            clock.advance(30)
            assert tell(watch) == []
    assert commits == []


# --------------------------------------------------------------------------- the causes


def test_mail_that_is_due_for_too_long_raises_an_alert(
    watch: Outbox, clock: Clock
) -> None:
    put(watch, lane="bulk")
    put(watch, due_at=clock.now + 3_600, lane="later")
    clock.advance(60)
    assert tell(watch) == []
    clock.advance(1)
    tell(watch)
    (one,) = watch.alerts()
    assert one.words == (
        "Mail has been due for more than 1 min, the oldest on the lane bulk."
    )
    assert (one.lane, one.reason, one.ended_at) == (None, "", None)


def test_a_lane_that_is_down_for_too_long_raises_an_alert(
    outbox: Outbox, clock: Clock
) -> None:
    """However often it was probed meanwhile; each lane has an alert of its own."""
    limit(outbox, limits=DOWN)
    for _ in range(3):
        assert tell(outbox) == []
        for lane in ("bulk", "default"):
            outbox.pause_lane(lane, clock.now + 30, f"{lane} refused")
        clock.advance(25)
    assert tell(outbox) == [(RAISED, AlertKind.LANE_DOWN)] * 2
    bulk, default = sorted(outbox.alerts(), key=lambda one: str(one.lane))
    assert (bulk.lane, bulk.reason) == ("bulk", "bulk refused")
    assert default.words == "The lane default has been down for more than 1 min."

    outbox.resume_lane("default")
    tell(outbox)
    outbox.pause_lane("bulk", clock.now + CALM_SECONDS, "bulk refused")
    clock.advance(CALM_SECONDS)
    assert tell(outbox) == [(ENDED, AlertKind.LANE_DOWN)]
    assert outbox.alerts() == (bulk,)


def test_a_lane_that_a_person_paused_raises_no_alert(
    outbox: Outbox, clock: Clock
) -> None:
    limit(outbox, limits=DOWN)
    outbox.pause_lane_by_operator("default", "a move")
    clock.advance(3_600)
    assert tell(outbox) == []


def test_a_pause_that_a_dead_courier_left_raises_no_alert(
    outbox: Outbox, clock: Clock
) -> None:
    limit(outbox, limits=DOWN)
    outbox.pause_lane("default", clock.now + 30, "refused")
    clock.advance(30 + ABANDONED_SECONDS + 1)
    assert tell(outbox) == []


def test_lanes_of_others_are_not_watched(outbox: Outbox, clock: Clock) -> None:
    """As where a resolver finds customers' servers."""
    limit(outbox, limits=replace(OLDEST, lane_down_seconds=60.0), lanes=frozenset())
    put(outbox, lane="customer-9")
    outbox.pause_lane("customer-9", clock.now + 100, "refused")
    clock.advance(90)
    assert tell(outbox) == []


@pytest.mark.parametrize(
    ("sent", "failed", "raised"), [(5, 5, True), (6, 5, False), (0, 4, False)]
)
def test_too_many_failures_raise_an_alert(
    outbox: Outbox, clock: Clock, sent: int, failed: int, raised: bool
) -> None:
    """So many, and so large a part."""
    limit(outbox, limits=FAILED)
    minute = int(clock.now) // MINUTE * MINUTE
    for at, courier in ((minute, "a"), (minute - MINUTE, "b")):
        ends = {EventKind.SENT: sent, EventKind.FAILED: failed}
        if courier == "b":
            ends = {EventKind.DEFERRED: 1_000}
        counted = Counters(Counter(ends))
        outbox.write_stats([stats_row(at, courier, "default", counted)])
    assert tell(outbox) == [(RAISED, AlertKind.FAILURES)] * raised
    if raised:
        (one,) = outbox.alerts()
        assert one.words == "5 of 10 messages failed within 15 min."
        clock.advance(FAILED.failed_within_seconds + MINUTE)
        tell(outbox)
        clock.advance(CALM_SECONDS)
        assert tell(outbox) == [(ENDED, AlertKind.FAILURES)]


def test_without_limits_nothing_is_looked_for_or_shown(
    watch: Outbox, clock: Clock
) -> None:
    wait_for_too_long(watch, clock)
    tell(watch)
    assert watch.alerts() == watch.status().alerts == watch.overview().alerts != ()
    marker = watch.change_marker()
    limit(watch, limits=AlertLimits(None, None, None))
    assert watch.look_for_alerts() == []
    assert watch.alerts() == watch.status().alerts == watch.overview().alerts == ()
    assert watch.change_marker() == marker


def test_a_page_learns_of_an_alert(watch: Outbox, clock: Clock) -> None:
    wait_for_too_long(watch, clock)
    before = watch.change_marker()
    tell(watch)
    raised = watch.change_marker()
    watch.alert_rules = AlertRules(DOWN)
    tell(watch)
    clock.advance(CALM_SECONDS)
    tell(watch)
    assert before < raised < watch.change_marker()
