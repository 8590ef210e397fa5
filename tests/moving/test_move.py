"""What is carried is what it was, on each pair of databases, there and back."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from flask_outbox import MessageRecord
from flask_outbox.counters import Counters
from flask_outbox.delivery import State
from flask_outbox.events import EventKind
from flask_outbox.feedback import Fate, Feedback
from flask_outbox.feedback.rules import GROUNDS, FeedbackRules
from flask_outbox.history import describe
from flask_outbox.limits import Limit
from flask_outbox.outbox import Outbox, Record
from flask_outbox.outbox.batch_store import BatchStore
from flask_outbox.outbox.read import moment
from flask_outbox.outbox.records import BatchState, Claim, Taking
from flask_outbox.outbox.schema import metadata
from flask_outbox.outbox.stats import EVERYBODY, stats_row
from flask_outbox.outbox.transfer import Move, rest, rows
from flask_outbox.outbox.transfer.rest import (
    carry_batches,
    carry_feedback,
    carry_lanes,
    carry_stats,
    carry_suppressions,
)
from flask_outbox.outbox.transfer.rows import PARTS
from tests.moving.carrying import HOUR, carry_all, fill, ids_in
from tests.outbox.making import (
    ADA,
    BOB,
    COURIER,
    CY,
    Clock,
    claim_one,
    content_of,
    deferred,
    enlist,
    new_message,
    put,
    sent,
)
from tests.outbox.test_attachments import RECEIPT, kept


def records(outbox: Outbox) -> dict[str, tuple[MessageRecord, bytes | None]]:
    """All that there is to know of each message."""
    return {one: (outbox.get(one), outbox.content(one)) for one in ids_in(outbox)}


def steps(move: Move) -> list[int]:
    """How many messages went in each batch, until nothing was left."""
    return [carried.messages for carried in iter(move.carry, None)]


def without_last_event(record: MessageRecord) -> MessageRecord:
    return replace(record, events=record.events[:-1])


def test_every_column_is_moved(source: Outbox, target: Outbox, move: Move) -> None:
    kinds = fill(source)
    before = records(source)

    carried = carry_all(move)

    after = records(target)
    assert after.keys() == before.keys() == set(kinds.values())
    for message_id, (record, content) in before.items():
        arrived, its_content = after[message_id]
        assert without_last_event(arrived) == record
        assert its_content == content
        last = describe(arrived)[-1]
        assert last.what == f"It moved here from {source.database.shown}"
    assert (carried.waiting, carried.finished, carried.cancelled) == (4, 4, 0)
    assert ids_in(source) == set()
    assert move.left().messages == 0


def test_equal_attachments_are_moved_once(
    source: Outbox, target: Outbox, move: Move
) -> None:
    """Also where the other outbox has them already."""
    here = put(target, content=RECEIPT)
    ids = [put(source, content=RECEIPT) for _ in range(3)]

    carry_all(move)

    assert {target.content(one) for one in [here, *ids]} == {RECEIPT}
    assert kept(target) == (1, 4)
    source.prune(0, 0)
    assert kept(source) == (0, 0)


def test_a_move_there_and_back_changes_nothing(
    source: Outbox, target: Outbox, move: Move
) -> None:
    fill(source)
    before = records(source)

    carry_all(move)
    carry_all(Move(target, source))

    after = records(source)
    assert after.keys() == before.keys()
    for message_id, (record, content) in before.items():
        back, its_content = after[message_id]
        assert replace(back, events=back.events[:-2]) == record
        assert its_content == content
    assert ids_in(target) == set()


def test_moved_messages_are_delivered_there(
    source: Outbox, target: Outbox, move: Move, clock: Clock
) -> None:
    kinds = fill(source)
    carry_all(move)

    enlist(target)
    assert target.claim(COURIER, "bulk", 10, room={"orders": 0}) == []
    (waiting,) = target.claim(COURIER, "bulk", 10)
    assert waiting.id == kinds["waiting"]
    assert waiting.content == bytes(range(256)) * 10
    assert target.claim(COURIER, "default", 10) == []
    clock.advance(HOUR)
    later = target.claim(COURIER, "default", 10)
    assert [one.id for one in later] == [
        kinds["scheduled"],
        *sorted([kinds["deferred"], kinds["partly sent"]]),
    ]
    partly = next(one for one in later if one.id == kinds["partly sent"])
    assert partly.envelope.recipients == ("cy@example.org",)
    assert partly.attempt == 2
    assert partly.settled == frozenset({State.SENT, State.FAILED})
    assert target.resend_unknown() == [kinds["unknown"]]


def test_a_leased_message_stays_until_it_is_returned(
    source: Outbox, target: Outbox, move: Move, clock: Clock
) -> None:
    enlist(source)
    first = put(source)
    held = claim_one(source)
    assert move.carry() is None
    assert (move.left().leased, move.left().messages) == (1, 1)

    source.record([deferred(held, clock.now, clock.now + HOUR)])
    assert carry_all(move).waiting == 1
    assert target.get(first).state == State.PENDING
    assert [one.number for one in target.get(first).attempts] == []

    second = put(source)
    source.record([sent(claim_one(source), clock.now)])
    assert carry_all(Move(source, target)).finished == 1
    assert target.get(second).state == State.SENT


@pytest.mark.parametrize("pair", [("sqlite", "sqlite")], ids=["sqlite"])
class TestInBatches:
    """How much goes at once, and in which order."""

    def test_a_chunk_is_limited_by_its_messages(
        self,
        source: Outbox,
        target: Outbox,
        move: Move,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(rows, "_WAITING_ROWS", rows._WAITING_ROWS.limit(3))
        for _ in range(7):
            put(source)
        assert steps(move) == [3, 3, 1]

    def test_a_chunk_is_limited_by_its_bytes(
        self,
        source: Outbox,
        target: Outbox,
        move: Move,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(rows, "CHUNK_BYTES", 100)
        for place, size in enumerate((60, 40, 1, 500, 99, 2)):
            put(source, id=f"{place:026}", content=b"x" * size)
        assert steps(move) == [2, 1, 1, 1, 1]

    def test_waiting_messages_move_first_then_the_newest_finished(
        self,
        source: Outbox,
        target: Outbox,
        move: Move,
        clock: Clock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(rows, "CHUNK_BYTES", 1)
        enlist(source)
        old, new = put(source), put(source)
        ends = {old: 1.0, new: 2.0}
        source.record(
            [
                sent(held, clock.now + ends[held.id])
                for held in source.claim(COURIER, "default", 2)
            ]
        )
        waits = put(source)

        order = []
        while move.carry():
            order += [one for one in ids_in(target) if one not in order]
        assert order == [waits, new, old]

    def test_a_long_history_is_moved_completely(
        self, source: Outbox, target: Outbox, move: Move
    ) -> None:
        enlist(source)
        ids = [put(source, content=content_of("x")) for _ in range(450)]
        source.record(
            [
                sent(held, source.clock())
                for held in source.claim(COURIER, "default", 300)
            ]
        )
        carried = carry_all(move)
        assert (carried.waiting, carried.finished) == (150, 300)
        assert ids_in(target) == set(ids)


def test_lanes_paused_by_a_person_are_paused_there(
    source: Outbox, target: Outbox, move: Move
) -> None:
    source.pause_lane_by_operator("bulk", "the list is wrong")
    source.pause_lane("default", source.clock() + HOUR, "refused")
    carry_lanes(source, target)
    assert target.lanes_paused_by_operator() == {"bulk": "the list is wrong"}
    assert [one.name for one in target.lanes()] == ["bulk"]

    source.pause_lane_by_operator("default", "not now")
    target.pause_lane("default", source.clock() + HOUR, "refused")
    carry_lanes(source, target)
    assert target.lanes_paused_by_operator().keys() == {"bulk", "default"}


def test_used_up_rates_are_used_up_there(
    source: Outbox, target: Outbox, move: Move
) -> None:
    daily = (Limit(2, 86_400),)
    enlist(source)
    for _ in range(3):
        put(source)
    claims, _ = source.claim_within(COURIER, "default", 10, "default", daily)
    assert len(claims) == 2

    carry_lanes(source, target)
    carry_all(move)
    enlist(target)
    assert target.claim_within(COURIER, "default", 10, "default", daily)[0] == []


def test_a_batch_continues_there(source: Outbox, target: Outbox, move: Move) -> None:
    enlist(source)
    from_here, there = BatchStore(source), BatchStore(target)
    standing = from_here.begin("news", None, "news-1", 3)
    now = source.clock()
    rows = [new_message(now, batch=standing.id, batch_row=row) for row in (1, 2)]
    from_here.store_rows(standing, rows, "digest")
    from_here.pause(standing.id)
    before = from_here.get(standing.id)

    carry_batches(source, target)
    carried = carry_all(move)

    assert carried.waiting == 2
    assert there.get(standing.id) == before
    assert there.begin("news", None, "news-1", 3).rows_stored == 2
    enlist(target)
    assert target.claim(COURIER, "default", 10) == []
    there.resume(standing.id)
    assert {one.id for one in target.claim(COURIER, "default", 10)} == {
        one.id for one in rows
    }
    assert [target.get(one.id).batch_row for one in rows] == [1, 2]


def test_later_changes_of_a_batch_are_moved_too(
    source: Outbox, target: Outbox, clock: Clock
) -> None:
    from_here, there = BatchStore(source), BatchStore(target)
    standing = from_here.begin("news", None, "news-1", None)
    carry_batches(source, target)
    clock.advance(1)
    now = source.clock()
    one = new_message(now, batch=standing.id, batch_row=1)
    from_here.store_rows(standing, [one], "digest")
    carry_batches(source, target)
    assert there.get(standing.id).rows_stored == 1
    from_here.cancel(standing.id)
    carry_batches(source, target)
    assert there.get(standing.id).state is BatchState.CANCELLED


def test_a_batch_key_that_is_used_there_stays_there(
    source: Outbox, target: Outbox
) -> None:
    theirs = BatchStore(target).begin("news", None, "news-1", None)
    ours = BatchStore(source).begin("news", None, "news-1", None)
    carry_batches(source, target)
    assert BatchStore(target).begin("news", None, "news-1", None).id == theirs.id
    assert BatchStore(target).get(ours.id).key is None


def test_suppressions_apply_there(
    source: Outbox, target: Outbox, move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "AT_A_TIME", 2)
    source.suppress(ADA, list="news", reason="asked us to stop")
    for address in (ADA, BOB, CY):
        source.suppress(address)
    target.suppress(BOB, reason="bounced")
    kept_back = put(source, ADA, tag="news")

    carry_suppressions(source, target)
    carry_all(move)

    there = [(one.address, one.list, one.reason) for one in target.suppressions()]
    assert there == [
        (ADA, "", ""),
        (ADA, "news", "asked us to stop"),
        (BOB, "", "bounced"),
        (CY, "", ""),
    ]
    assert target.get(kept_back).state == State.SUPPRESSED


def test_fates_and_reports_are_moved(
    source: Outbox, target: Outbox, move: Move, clock: Clock
) -> None:
    """And a report that came before its message is applied there."""
    for outbox in (source, target):
        outbox.feedback_rules = FeedbackRules(frozenset(GROUNDS))
    at = datetime.fromtimestamp(clock.now, UTC)
    first, second = put(source, ADA), put(source, BOB)
    held = {one.id: one for one in source.claim(COURIER, "default", 2)}
    reports = [
        Feedback(Fate.BOUNCED, "postmark", f"event-{id}", at, provider_id=id)
        for id in ("pm-1", "pm-2")
    ]
    source.record([by_postmark(held[first], "pm-1", clock)])
    source.take_feedback(reports)
    clock.advance(1)
    source.unsuppress(ADA)
    source.record([by_postmark(held[second], "pm-2", clock)])

    carry_suppressions(source, target)
    carry_all(move)
    carry_feedback(source, target)
    clock.advance(60)
    applied = target.match_feedback()

    assert [one.message_id for one in applied.reports] == [second]
    for id in (first, second):
        (recipient,) = target.get(id).recipients
        assert recipient.fate is Fate.BOUNCED
    assert target.take_feedback(reports).count(Taking.REPEATED) == 2
    assert [one.address for one in target.suppressions()] == [BOB]
    target.take_feedback([replace(reports[0], event_id="event-3")])
    assert [one.address for one in target.suppressions()] == [ADA, BOB]


def by_postmark(held: Claim, provider_id: str, clock: Clock) -> Record:
    """The end of an attempt at a message that Postmark took."""
    ids = dict.fromkeys(held.envelope.recipients, provider_id)
    return replace(sent(held, clock.now), provider="postmark", provider_ids=ids)


def test_a_removal_counts_there(source: Outbox, target: Outbox, clock: Clock) -> None:
    source.suppress(ADA)
    source.unsuppress(ADA)
    target.feedback_rules = FeedbackRules(frozenset(GROUNDS))
    message_id = put(target, ADA)
    carry_suppressions(source, target)
    carry_suppressions(source, target)
    at = datetime.fromtimestamp(clock.now, UTC)

    old = Feedback(Fate.BOUNCED, "postmark", "1", at, ADA, message_id)
    target.take_feedback([old])
    assert [*target.suppressions()] == []
    clock.advance(1)
    target.take_feedback([replace(old, event_id="2")])
    assert [one.address for one in target.suppressions()] == [ADA]


def test_statistics_are_moved_once(
    source: Outbox, target: Outbox, clock: Clock
) -> None:
    minute = int(clock.now) // 60 * 60
    one_sent = stats_row(
        minute, EVERYBODY, "default", Counters(Counter({EventKind.SENT: 1}))
    )
    for outbox in (source, target):
        outbox.write_stats([one_sent])
    source.write_stats([{**one_sent, "courier": COURIER}])

    carry_stats(source, target)
    carry_stats(source, target)

    assert [_sent(outbox, minute) for outbox in (source, target)] == [0, 3]


def _sent(outbox: Outbox, minute: int) -> int:
    start = moment(minute)
    return outbox.stats(start, start + timedelta(seconds=60), 1).whole.sent


def test_for_every_table_it_is_decided_whether_it_moves() -> None:
    decided = {"message", *(part.name.removeprefix("outbox_") for part in PARTS)}
    with_them = {"attachment"}
    whole = {"batch", "lane", "suppression", "pardon", "feedback", "stats", "audit"}
    left_behind = {"courier", "departure", "arrival", "webhook", "webhook_endpoint"}
    left_behind |= {"mailbox"}  # read again; what its mail reports is known there
    left_behind |= {"alert"}  # what is wrong there is found there
    left_behind |= {"encryption_key"}  # each outbox has keys of its own
    left_behind |= {"tally"}  # each outbox counts what it has received
    names = {name.removeprefix("outbox_") for name in metadata.tables}
    assert names == decided | with_them | whole | left_behind
