"""The feed: each event is queued once for each endpoint, and none is overlooked."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, delete, func, insert, select

from flask_outbox.delivery import Reply, State
from flask_outbox.events import EventKind
from flask_outbox.feedback import Fate, Feedback
from flask_outbox.outbox import Database, Feed, Outbox, WebhookStore, event_row
from flask_outbox.outbox.enqueue import add_events
from flask_outbox.outbox.records import WebhookRecord
from flask_outbox.outbox.schema import event, message, webhook, webhook_endpoint
from flask_outbox.outbox.webhook_feed import (
    EVENTS_AT_ONCE,
    GAP_SECONDS,
    MOST_GAPS,
    Gap,
    missing,
)
from flask_outbox.webhooks.kinds import DEFAULT_WEBHOOK_KINDS, WEBHOOK_KINDS
from tests.outbox.making import (
    ADA,
    BOB,
    Clock,
    claim_one,
    deferred,
    ended,
    enlist,
    failed,
    put,
    same,
    sent,
    unknown,
)
from tests.webhooks.conftest import GIVE_UP_SECONDS

CRM = Feed("crm", frozenset(DEFAULT_WEBHOOK_KINDS), False, GIVE_UP_SECONDS)
EVERYTHING = Feed("all", frozenset(WEBHOOK_KINDS), False, GIVE_UP_SECONDS)


def bodies(outbox: Outbox, name: str = "crm") -> list[dict[str, Any]]:
    """What is queued for an endpoint, in the order of the events."""
    with outbox.database.reading() as connection:
        rows = connection.execute(
            select(webhook.c.body, webhook.c.id).where(webhook.c.endpoint == name)
        ).all()
    rows = sorted(rows, key=lambda row: int(row.id.partition("_")[2]))
    return [json.loads(row.body) for row in rows]


def types(outbox: Outbox, name: str = "crm") -> list[str]:
    return [one["type"] for one in bodies(outbox, name)]


def note(outbox: Outbox, message_id: str, kind: str, **detail: Any) -> None:
    """Add an event to a message's history."""
    row = event_row(message_id, outbox.clock(), EventKind.RESPONDED, **detail)
    outbox.database.write(lambda conn: add_events.run(conn, {**row, "kind": kind}))


def test_an_endpoint_is_told_what_became_of_a_message(
    outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    store.begin("crm")
    enlist(outbox)
    id = put(outbox, ADA, tag="welcome")
    outbox.record([sent(claim_one(outbox), clock())])
    store.copy(CRM)
    (told,) = bodies(outbox)
    assert told == {
        "type": "message.sent",
        "timestamp": "2030-03-17T17:46:40.123+00:00",
        "data": {
            "message_id": id,
            "rfc_message_id": f"<{id}@example.org>",
            "tag": "welcome",
            "batch": None,
            "state": "sent",
            "recipients": [
                {"address": ADA, "state": "sent", "code": 250, "enhanced": "2.0.0"}
            ],
        },
    }


def test_nothing_is_told_twice(
    outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    store.begin("crm")
    enlist(outbox)
    put(outbox)
    outbox.record([sent(claim_one(outbox), clock())])
    store.copy(CRM)
    assert not store.has_news("crm")
    store.copy(CRM)
    store.begin("crm")
    store.copy(CRM)
    assert types(outbox) == ["message.sent"]


def test_each_endpoint_is_told_what_it_asks_for(
    outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    for name in ("crm", "all"):
        store.begin(name)
    enlist(outbox)
    first = put(outbox)
    outbox.record([deferred(claim_one(outbox), clock(), clock() + 60)])
    clock.advance(60)
    outbox.record([failed(claim_one(outbox), clock())])
    put(outbox)
    outbox.record([unknown(claim_one(outbox), clock())])
    for fate in Fate:
        note(outbox, first, fate, address=ADA, source="postmark", words="550 5.1.1 no")
    store.copy(CRM)
    store.copy(EVERYTHING)
    final = ["sent", "failed", "unknown", "cancelled", "suppressed"]
    lasting = ["soft_bounced", "delivered", "bounced", "unsubscribed", "complained"]
    assert set(DEFAULT_WEBHOOK_KINDS) == {*final, *lasting}
    assert types(outbox) == [
        f"message.{one}" for one in ("failed", "unknown", *lasting)
    ]
    assert types(outbox, "all") == [
        f"message.{one}" for one in ("deferred", "failed", "unknown", *Fate)
    ]
    bounced = next(one for one in bodies(outbox) if one["type"] == "message.bounced")
    assert bounced["data"]["recipients"] == [
        {"address": ADA, "state": "failed", "code": 550, "enhanced": "5.1.1"}
    ]


def test_what_is_reported_later_is_told(
    outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    store.begin("crm")
    enlist(outbox)
    id = put(outbox, ADA, BOB)
    outbox.record([sent(claim_one(outbox), clock())])
    outbox.take_feedback(
        [
            Feedback(
                fate=Fate.BOUNCED,
                source="postmark",
                event_id="7",
                at=datetime.fromtimestamp(clock(), UTC),
                address=BOB,
                message_id=id,
                reply=Reply(550, "5.1.1", "no such user"),
            )
        ]
    )
    store.copy(CRM)
    (_, bounced) = bodies(outbox)
    assert bounced["type"] == "message.bounced"
    assert bounced["data"]["state"] == "sent"
    assert bounced["data"]["recipients"] == [
        {"address": BOB, "state": "sent", "code": 550, "enhanced": "5.1.1"}
    ]


@pytest.mark.parametrize(
    ("kind", "detail", "told"),
    [
        ("stopped", {"by": "f", "reason": "no"}, "message.cancelled"),
        ("dropped", {}, "message.cancelled"),
        ("cancelled", {"batch": "B"}, "message.cancelled"),
        ("rescued", {"state": "failed", "crashes": 3}, "message.failed"),
        ("rescued", {"state": "unknown"}, "message.unknown"),
        ("rescued", {"state": "pending"}, None),
        ("suppressed", {"replies": {BOB: "barred"}, "finished": False},
         "message.suppressed"),
        ("began", {"attempt": 1}, None),
        ("of a later version", {}, None),
    ],
)  # fmt: skip
def test_other_events_say_the_same(
    outbox: Outbox,
    store: WebhookStore,
    kind: str,
    detail: dict[str, Any],
    told: str | None,
) -> None:
    store.begin("crm")
    id = put(outbox, ADA, BOB)
    note(outbox, id, kind[:16], **detail)
    store.copy(CRM)
    assert types(outbox) == ([told] if told else [])
    if kind == "suppressed":
        (one,) = bodies(outbox)
        assert [each["address"] for each in one["data"]["recipients"]] == [BOB]


def test_metadata_is_told_only_on_request(
    outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    asking = Feed("asking", CRM.kinds, True, GIVE_UP_SECONDS)
    for name in ("crm", "asking"):
        store.begin(name)
    enlist(outbox)
    put(outbox, metadata='{"order":7}')
    outbox.record([sent(claim_one(outbox), clock())])
    store.copy(CRM)
    store.copy(asking)
    assert bodies(outbox, "asking")[0]["data"]["metadata"] == {"order": 7}
    assert "order" not in json.dumps(bodies(outbox))
    assert "Hello" not in json.dumps([*bodies(outbox), *bodies(outbox, "asking")])


def test_a_new_endpoint_begins_with_the_events_from_now_on(
    outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    enlist(outbox)
    put(outbox)
    outbox.record([sent(claim_one(outbox), clock())])
    store.begin("crm")
    store.copy(CRM)
    assert types(outbox) == []
    put(outbox)
    outbox.record([failed(claim_one(outbox), clock())])
    store.copy(CRM)
    assert types(outbox) == ["message.failed"]


def test_many_events_are_copied_in_one_call(
    outbox: Outbox, store: WebhookStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.begin("crm")
    id = put(outbox)
    rows = [event_row(id, outbox.clock(), EventKind.CANCELLED) for _ in range(2_500)]
    outbox.database.write(lambda conn: add_events.run_many(conn, rows))
    store.copy(CRM)
    assert len(types(outbox)) == 2_500


# Concurrent transactions


def _add_cancelled(connection: Connection, message_id: str) -> None:
    row = event_row(message_id, 1_900_000_000.0, EventKind.CANCELLED)
    connection.execute(insert(event).values(row))


def test_an_event_that_is_committed_after_a_later_one_is_not_overlooked(
    database: Database, outbox: Outbox, store: WebhookStore
) -> None:
    """Its id is lower than one that was copied before."""
    if database.embedded:
        pytest.skip("SQLite has one writer at a time")
    store.begin("crm")
    early, late = put(outbox), put(outbox)
    with database.engine.connect() as slow, database.engine.connect() as fast:
        _add_cancelled(slow, early)
        _add_cancelled(fast, late)
        fast.commit()
        store.copy(CRM)
        assert [one["data"]["message_id"] for one in bodies(outbox)] == [late]
        assert not store.has_news("crm")
        store.copy(CRM)
        slow.commit()
    assert store.has_news("crm")
    store.copy(CRM)
    assert [one["data"]["message_id"] for one in bodies(outbox)] == [early, late]
    store.copy(CRM)
    assert len(bodies(outbox)) == 2
    assert not store.has_news("crm")


def test_an_event_that_was_open_when_the_endpoint_was_new_is_not_overlooked(
    database: Database, outbox: Outbox, store: WebhookStore
) -> None:
    """It is committed later, so it is an event from then on."""
    if database.embedded:
        pytest.skip("SQLite has one writer at a time")
    early, before = put(outbox), put(outbox)
    with database.engine.connect() as slow:
        _add_cancelled(slow, early)
        with database.engine.connect() as fast:
            _add_cancelled(fast, before)
            fast.commit()
        store.begin("crm")
        slow.commit()
    store.copy(CRM)
    assert [one["data"]["message_id"] for one in bodies(outbox)] == [early]


def test_what_was_rolled_back_is_looked_for_no_longer_than_it_must(
    database: Database, outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    if database.embedded:
        pytest.skip("SQLite has one writer at a time")
    store.begin("crm")
    id = put(outbox)
    with database.engine.connect() as undone:
        _add_cancelled(undone, id)
        undone.rollback()
    note(outbox, id, "cancelled")
    store.copy(CRM)
    clock.advance(GAP_SECONDS - 1)
    assert not store.has_news("crm")
    clock.advance(2)
    assert store.has_news("crm")
    store.copy(CRM)
    assert not store.has_news("crm")
    assert len(bodies(outbox)) == 1


def test_no_event_of_many_writers_is_overlooked_or_told_twice(
    outbox: Outbox, store: WebhookStore, url: str
) -> None:
    """Four writers, some of whom roll back, while two dispatchers copy."""
    store.begin("crm")
    ids = [put(outbox) for _ in range(4)]
    each = 30
    writing = threading.Barrier(4 + 2)
    over = threading.Event()

    def write(id: str) -> None:
        writing.wait()
        for number in range(each):
            with outbox.database.engine.connect() as connection:
                _add_cancelled(connection, id)
                if number % 5 == 4:
                    connection.rollback()
                else:
                    connection.commit()

    def copy() -> None:
        writing.wait()
        while not over.is_set():
            store.copy(CRM)

    writers = [threading.Thread(target=write, args=[id]) for id in ids]
    copiers = [threading.Thread(target=copy) for _ in range(2)]
    for one in (*writers, *copiers):
        one.start()
    for one in writers:
        one.join()
    over.set()
    for one in copiers:
        one.join()
    store.copy(CRM)
    told = [one["data"]["message_id"] for one in bodies(outbox)]
    assert sorted(told) == sorted(ids * (each * 4 // 5))


def test_missing_ids() -> None:
    assert missing(3, [5, 6, 9], 1.0) == [Gap(4, 4, 1.0), Gap(7, 8, 1.0)]
    assert missing(3, [4, 5], 1.0) == []
    assert missing(0, [], 1.0) == []


def test_gaps_without_number_are_joined_and_nothing_is_told_twice(
    database: Database, outbox: Outbox, store: WebhookStore
) -> None:
    """As on a cluster whose nodes number in steps."""
    if database.embedded:
        pytest.skip("SQLite has one writer at a time")
    store.begin("crm")
    id = put(outbox)
    with database.engine.connect() as connection:
        for _ in range(MOST_GAPS + 50):
            _add_cancelled(connection, id)
            _add_cancelled(connection, id)
        ids = connection.scalars(select(event.c.id).order_by(event.c.id)).all()
        connection.execute(delete(event).where(event.c.id.in_(ids[::2])))
        connection.commit()
    for _ in range(3):
        store.copy(CRM)
    assert len(bodies(outbox)) == MOST_GAPS + 50


def test_what_is_missing_among_many_events_is_looked_for_as_long_as_elsewhere(
    database: Database, outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    """And a copy of them has an end, though more than it reads at once are visible."""
    if database.embedded:
        pytest.skip("SQLite has one writer at a time")
    store.begin("crm")
    id = put(outbox)
    cancelled = {"message_id": id, "at": clock(), "kind": "cancelled"}
    rounds, step = 6, EVENTS_AT_ONCE + 200
    for number in range(rounds):
        ids = range(10 + 2 * step * number, 10 + 2 * step * (number + 1), 2)
        with database.engine.begin() as connection:
            connection.execute(insert(event), [{"id": one, **cancelled} for one in ids])
        store.copy(CRM)
        clock.advance(GAP_SECONDS / 4)
    store.copy(CRM)
    with database.reading() as connection:
        told = connection.scalar(select(func.count()).select_from(webhook))
        gaps = connection.scalar(select(webhook_endpoint.c.gaps))
    assert told == rounds * step
    assert json.loads(gaps or "[]")[0][0] > 10 + 2 * step * 2


# Deleted events


def test_what_is_queued_outlives_its_message(
    outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    store.begin("crm")
    enlist(outbox)
    put(outbox)
    outbox.record([sent(claim_one(outbox), clock())])
    store.copy(CRM)
    clock.advance(100)
    assert outbox.prune(10, 10).rows == 1
    (claimed,) = store.claim("crm", 10)
    assert json.loads(claimed.body)["type"] == "message.sent"


def test_events_are_told_whose_ids_were_given_before(
    outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    """SQLite gives the highest ids again once their rows are pruned."""
    store.begin("crm")
    enlist(outbox)
    for _ in range(3):
        put(outbox)
        outbox.record([sent(claim_one(outbox), clock())])
    store.copy(CRM)
    clock.advance(100)
    assert outbox.prune(10, 10).rows == 3
    put(outbox)
    outbox.record([failed(claim_one(outbox), clock())])
    store.copy(CRM)
    assert sorted(types(outbox)) == ["message.failed", *["message.sent"] * 3]


def test_what_happened_before_a_message_moved_here_is_not_told(
    outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    """The outbox that it came from has told that."""
    store.begin("crm")
    enlist(outbox)
    id = put(outbox)
    outbox.record([sent(claim_one(outbox), clock())])
    note(outbox, id, "moved", came_from="sqlite:///old.db")
    note(outbox, id, "complained", address=ADA, source="postmark")
    store.copy(CRM)
    assert types(outbox) == ["message.complained"]


def test_webhooks_for_one_recipient_of_several(
    outbox: Outbox, store: WebhookStore, clock: Clock
) -> None:
    store.begin("crm")
    enlist(outbox)
    put(outbox, ADA, BOB)
    held = claim_one(outbox)
    answers = {**same(held, State.SENT, _reply(250, "2.0.0"))}
    answers[BOB] = (State.FAILED, _reply(550, "5.1.1"))
    outbox.record([ended(held, clock(), State.FAILED, answers)])
    store.copy(CRM)
    (one,) = bodies(outbox)
    assert one["data"]["recipients"] == [
        {"address": ADA, "state": "sent", "code": 250, "enhanced": "2.0.0"},
        {"address": BOB, "state": "failed", "code": 550, "enhanced": "5.1.1"},
    ]


def _reply(code: int, enhanced: str) -> Reply:
    return Reply(code, enhanced, "words of the server")


def test_an_outbox_without_messages_has_no_news(
    outbox: Outbox, store: WebhookStore
) -> None:
    assert not store.has_news("crm")
    store.begin("crm")
    assert not store.has_news("crm")
    found: list[WebhookRecord] = store.webhooks("crm")
    assert found == []
    with outbox.database.reading() as connection:
        assert connection.scalar(select(message.c.id)) is None
