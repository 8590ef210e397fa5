"""One person: all that is kept about them is exported, and erased."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Double,
    Integer,
    MetaData,
    String,
    insert,
    select,
)

from flask_outbox.delivery import Reply, State
from flask_outbox.erased_address import ErasedAddresses
from flask_outbox.errors import AddressError, ConfigError, TransitionRefused
from flask_outbox.feedback import Fate
from flask_outbox.feedback.rules import FeedbackRules
from flask_outbox.limits import RetryWindow
from flask_outbox.outbox import (
    BatchStore,
    Database,
    MessageActions,
    Outbox,
    PersonStore,
    WebhookStore,
    new_suppression,
)
from flask_outbox.outbox.records import PersonErased, Sensitivity, Unerased
from flask_outbox.outbox.schema import metadata
from flask_outbox.outbox.webhook_feed import Feed
from flask_outbox.recipient_guard import Guard
from flask_outbox.webhooks.kinds import WEBHOOK_KINDS
from tests.reports import report

from .making import (
    BOB,
    COURIER,
    KEPT,
    RETRY_SECONDS,
    Clock,
    claim_one,
    ended,
    enlist,
    kinds,
    new_message,
    put,
    same,
    sent,
    states,
)

CANARY = "canary@example.org"
WRITTEN = "Canary@Example.org"
"""The same mailbox, as mail may have it."""

NEIGHBOURS = ("a.canary@example.org", "canary@example.org.uk", "o'canary@example.org")
"""Other people, whose addresses hold the canary's."""

OLD, NEW = "an old secret key", "a new secret key"

QUOTING = Reply(550, "5.1.1", f"<{CANARY}>: nightingale is gone")

RULES = FeedbackRules(suppress_for=frozenset({"bounces"}), track_tags=True)


on_sqlite = pytest.mark.parametrize("home", ["sqlite"], indirect=True)
"""For what does not depend on the database."""


def opened(database: Database, clock: Clock, *secrets: str) -> Outbox:
    """The outbox of a process that has these secret keys."""
    guard = Guard(erased=ErasedAddresses.read(secrets))
    window = RetryWindow(RETRY_SECONDS)
    return Outbox(
        database, clock, guard=guard, retry_window=window, feedback_rules=RULES
    )


@pytest.fixture
def outbox(database: Database, clock: Clock) -> Outbox:
    return opened(database, clock, OLD)


@pytest.fixture
def people(outbox: Outbox) -> PersonStore:
    return PersonStore(outbox)


def found(outbox: Outbox, *wanted: str) -> set[tuple[str, str]]:
    """Each table and column of the database that has any of these texts."""
    present = MetaData()
    places = set()
    with outbox.database.reading() as connection:
        present.reflect(connection)
        for table in present.sorted_tables:
            for row in connection.execute(select(table)).mappings():
                for column, value in row.items():
                    text = value.decode() if isinstance(value, bytes) else str(value)
                    if any(one.lower() in text.lower() for one in wanted):
                        places.add((table.name, str(column)))
    return places


def keep_everything(outbox: Outbox, clock: Clock) -> dict[str, str]:
    """Have the outbox keep all that it can keep about a person; the messages' ids."""
    ids = {"waiting": put(outbox, CANARY, due_at=clock.now + 60)}
    ids["sent"] = put(
        outbox,
        WRITTEN,
        content=b"To: canary@example.org\r\n\r\nplumage\r\n",
        subject=f"For {CANARY}: warbler",
        metadata='{"bird": "finch"}',
        key=f"welcome:{CANARY}",
        tag="news",
    )
    held = claim_one(outbox, enlist(outbox))
    answers = same(held, State.SENT, Reply(250, "2.0.0", f"queued for {CANARY}"))
    one = ended(held, clock.now, State.SENT, answers)
    dialogue = [f"us: RCPT TO:<{CANARY}>", "them: 250 sparrow"]
    one = replace(
        one,
        detail={**one.detail, "dialogue": dialogue},
        provider="postmark",
        provider_ids={WRITTEN: "provider-robin"},
    )
    outbox.record([one])
    ids["failed"] = put(outbox, CANARY)
    held = claim_one(outbox)
    outbox.record(
        [ended(held, clock.now, State.FAILED, same(held, State.FAILED, QUOTING))]
    )
    ids["shared"] = put(outbox, BOB, CANARY)
    outbox.record([sent(claim_one(outbox), clock.now)])
    webhooks = WebhookStore(outbox)
    webhooks.begin("crm")
    reports = [
        report(
            Fate.CLICKED,
            ids["sent"],
            address=CANARY,
            detail={"url": f"https://example.org/?for={CANARY}", "user_agent": "heron"},
        ),
        report(Fate.BOUNCED, ids["sent"], address=CANARY, reply=QUOTING),
        report(Fate.DELIVERED, ids["shared"], address=BOB),
        report(Fate.BOUNCED, None, address=CANARY, reply=QUOTING),
    ]
    outbox.take_feedback(reports)
    webhooks.copy(Feed("crm", frozenset(WEBHOOK_KINDS), True, 60.0))
    outbox.suppress(CANARY, list="news", reason="magpie", source="person")
    outbox.suppress(CANARY, list="old")
    outbox.unsuppress(CANARY, list="old")
    outbox.pause_lane("default", clock.now, f"<{CANARY}> is refused")
    batches = BatchStore(outbox)
    batch = batches.begin("all", None, None, None)
    batches.interrupt(batch.id, f"to: '{CANARY}' is refused")
    return ids


SAID = (
    "warbler", "plumage", "finch", f"welcome:{CANARY}", "sparrow", "provider-robin",
    "nightingale", "heron", "magpie", f"queued for {CANARY}",
)  # fmt: skip
"""What is kept about them, in all kinds of fields."""


def exported(people: PersonStore, address: str = CANARY) -> list[dict[str, Any]]:
    """The records, as a reader of the JSON gets them."""
    records = json.loads(json.dumps([*people.export(address)]))
    assert isinstance(records, list)
    return records


# --------------------------------------------------------------------------- export


def test_all_that_is_kept_is_exported(
    outbox: Outbox, people: PersonStore, clock: Clock
) -> None:
    ids = keep_everything(outbox, clock)

    records = exported(people, WRITTEN)

    text = json.dumps(records)
    assert [one for one in SAID if one not in text] == []
    messages = {one["id"]: one for one in records if one["kind"] == "message"}
    assert messages.keys() == {*ids.values()}
    its = messages[ids["sent"]]
    assert its["content"] == "To: canary@example.org\r\n\r\nplumage\r\n"
    assert its["recipients"][0]["fate"] == "bounced"
    assert [one["kind"] for one in its["events"]][-2:] == ["clicked", "bounced"]
    assert sorted(one["list"] for one in records if one["kind"] == "suppression") == [
        "",
        "news",
    ]
    assert [one["list"] for one in records if one["kind"] == "unsuppressed"] == ["old"]
    assert sum(one["kind"] == "report" for one in records) == 3
    assert {one["body"]["type"] for one in records if one["kind"] == "webhook"} == {
        "message.clicked",
        "message.bounced",
    }
    assert {
        (one["table"], one["column"]) for one in records if one["kind"] == "mention"
    } == {("outbox_lane", "reason"), ("outbox_batch", "error")}


@on_sqlite
def test_other_recipients_are_not_named(
    outbox: Outbox, people: PersonStore, clock: Clock
) -> None:
    ids = keep_everything(outbox, clock)
    (shared,) = (one for one in exported(people) if one.get("id") == ids["shared"])
    assert BOB not in json.dumps(shared)
    assert shared["other_recipients"] == 1
    (only_his,) = (one for one in exported(people, BOB) if one["kind"] == "message")
    assert CANARY not in json.dumps(only_his)


@on_sqlite
def test_what_is_shown_to_nobody_is_not_exported(
    outbox: Outbox, people: PersonStore
) -> None:
    code = b"To: canary@example.org\r\n\r\nYour code is 471108\r\n"
    id = put(outbox, CANARY, content=code, sensitivity=Sensitivity.HIDDEN)
    (record,) = exported(people)
    assert (record["id"], record["hidden"], record["content"]) == (id, True, None)


@on_sqlite
def test_nothing_is_known_of_a_stranger(
    outbox: Outbox, people: PersonStore, clock: Clock
) -> None:
    keep_everything(outbox, clock)
    for one in NEIGHBOURS:
        assert exported(people, one) == []
    with pytest.raises(AddressError, match="has no '@'"):
        people.export("canary")


# ---------------------------------------------------------------------------- erase


def test_nothing_is_found_after_erase(
    outbox: Outbox, people: PersonStore, clock: Clock
) -> None:
    ids = keep_everything(outbox, clock)
    tables = {table for table, _ in found(outbox, CANARY)}
    assert tables == {
        "outbox_message", "outbox_content", "outbox_recipient", "outbox_event",
        "outbox_provider_id", "outbox_feedback", "outbox_suppression", "outbox_pardon",
        "outbox_webhook", "outbox_lane", "outbox_batch",
    }  # fmt: skip

    erased = people.erase(WRITTEN)

    assert found(outbox, CANARY, *SAID) == set()
    assert (erased.messages, erased.cancelled) == (4, (ids["waiting"],))
    assert (erased.reports, erased.suppressions, erased.waiting) == (3, 2, ())
    assert [
        (one["kind"], one["list"], one["reason"], one["evidence"])
        for one in exported(people)
    ] == [("suppression", "", "", None), ("suppression", "news", "", None)]


@on_sqlite
def test_rows_stay_countable(outbox: Outbox, people: PersonStore, clock: Clock) -> None:
    ids = keep_everything(outbox, clock)
    counts, status = outbox.measure(["default"]), outbox.status()

    people.erase(CANARY)

    after = outbox.status()
    assert after.fates == status.fates
    assert sum(after.counts.values()) == sum(status.counts.values())
    assert outbox.measure(["default"]).reports == counts.reports
    record = outbox.get(ids["sent"])
    assert (record.state, record.subject, record.key) == (State.SENT, "", None)
    assert record.recipients[0].address == "erased-0@invalid"
    assert str(record.recipients[0].reply) == "250 2.0.0"
    assert record.recipients[0].fate is Fate.BOUNCED
    assert kinds(outbox, ids["sent"]) == [
        "enqueued", "sent", "clicked", "bounced", "erased",
    ]  # fmt: skip
    assert kinds(outbox, ids["waiting"]) == ["enqueued", "cancelled", "erased"]
    assert outbox.content(ids["sent"]) is None
    assert outbox.claim(COURIER, "default", 10) == []


@on_sqlite
def test_other_recipients_keep_what_is_theirs(
    outbox: Outbox, people: PersonStore, clock: Clock
) -> None:
    ids = keep_everything(outbox, clock)

    people.erase(CANARY)

    shared = outbox.get(ids["shared"])
    first, second = shared.recipients
    assert (first.address, first.state, first.reply, first.fate) == (
        BOB, State.SENT, KEPT, Fate.DELIVERED,
    )  # fmt: skip
    assert second.address == "erased-1@invalid"
    (_, was_sent, delivered, _) = shared.events
    assert was_sent.detail["replies"] == {
        BOB: str(KEPT),
        "erased-1@invalid": "250 2.0.0",
    }
    assert delivered.detail["address"] == BOB


@on_sqlite
def test_others_whose_addresses_are_similar_are_untouched(
    outbox: Outbox, people: PersonStore, clock: Clock
) -> None:
    mine = [put(outbox, one, subject=f"For {one}") for one in NEIGHBOURS]
    for one in NEIGHBOURS:
        outbox.suppress(one, list="news", reason=f"{one} asked us")
    before = [outbox.get(one) for one in mine]
    listed = [*outbox.suppressions()]

    erased = people.erase(CANARY)

    assert replace(erased, rewritten=None) == PersonErased()
    assert [outbox.get(one) for one in mine] == before
    assert [*outbox.suppressions()] == listed


def test_a_message_in_the_hands_of_a_courier_is_erased_later(
    outbox: Outbox, people: PersonStore, clock: Clock
) -> None:
    leased = put(outbox, CANARY)
    held = claim_one(outbox, enlist(outbox))

    first = people.erase(CANARY)
    assert first.waiting == (Unerased(leased, "a courier is delivering it"),)
    assert first.messages == 0
    outbox.record([sent(held, clock.now)])
    second = people.erase(CANARY)

    assert (second.messages, second.waiting) == (1, ())
    assert found(outbox, CANARY) == set()


@on_sqlite
def test_a_message_that_others_wait_for_goes_to_these_alone(
    outbox: Outbox, people: PersonStore, clock: Clock
) -> None:
    shared = put(outbox, CANARY, BOB)

    first = people.erase(CANARY)
    assert first.waiting == (Unerased(shared, "it waits for other recipients"),)
    assert states(outbox, shared) == {CANARY: State.CANCELLED, BOB: State.PENDING}
    held = claim_one(outbox, enlist(outbox))
    assert held.envelope.recipients == (BOB,)
    outbox.record([sent(held, clock.now)])
    people.erase(CANARY)

    assert found(outbox, CANARY) == set()
    assert states(outbox, shared) == {
        "erased-0@invalid": State.CANCELLED,
        BOB: State.SENT,
    }


@on_sqlite
def test_mail_to_others_that_names_the_person_is_changed_once_it_is_finished(
    outbox: Outbox, people: PersonStore, clock: Clock
) -> None:
    notice = put(outbox, BOB, subject=f"{CANARY} has signed up", key=f"new:{CANARY}")

    assert people.erase(CANARY).waiting == (
        Unerased(notice, "it waits for other recipients"),
    )
    assert outbox.get(notice).subject == f"{CANARY} has signed up"
    outbox.record([sent(claim_one(outbox, enlist(outbox)), clock.now)])
    assert people.erase(CANARY).mentions == 1

    assert outbox.get(notice).subject == "erased@invalid has signed up"
    assert found(outbox, CANARY) == set()


@on_sqlite
def test_a_killed_erase_is_finished_by_the_next(
    outbox: Outbox, people: PersonStore, clock: Clock
) -> None:
    keep_everything(outbox, clock)
    steps = 0

    def killed_at(number: int, _step: PersonErased) -> None:
        nonlocal steps
        steps += 1
        if steps == number:
            raise KeyboardInterrupt

    for number in 1, 2, 2, 2:
        steps = 0
        with pytest.raises(KeyboardInterrupt):
            people.erase(CANARY, on_progress=partial(killed_at, number))
    people.erase(CANARY)

    assert found(outbox, CANARY, *SAID) == set()
    assert replace(people.erase(CANARY), rewritten=None) == PersonErased()


@on_sqlite
def test_reports_that_come_later_do_not_name_the_person_again(
    outbox: Outbox, people: PersonStore, clock: Clock
) -> None:
    ids = keep_everything(outbox, clock)
    people.erase(CANARY)

    for message in ids["sent"], ids["shared"]:
        for address in CANARY, None:
            late = report(Fate.COMPLAINED, message, address=address, reply=QUOTING)
            if message == ids["sent"] or address:
                outbox.take_feedback([late])

    assert found(outbox, CANARY, "nightingale") == set()


# ------------------------------------------------------ every column of every table


WORDS = {"state": "sent", "kind": "sent", "fate": "bounced"}
"""Values of short columns that have to be words of our own."""


def _value(column: Column[Any], message_id: str) -> Any:
    """A value for a column that names the person, if it can."""
    name = column.name
    if name == "message_id" or column.foreign_keys:
        return message_id
    if isinstance(column.type, String):
        if name == "id":
            return message_id[: column.type.length]
        short = column.type.length is not None and column.type.length < 64
        return WORDS.get(name, name) if short else _naming(column)
    return 0 if isinstance(column.type, Integer | Double) else b""


def _naming(column: Column[Any]) -> str:
    if column.name == "address":
        return CANARY
    if column.primary_key:
        return column.name
    if str(column) == "outbox_webhook.body":
        to = [{"address": CANARY}, {"address": BOB}]
        return json.dumps({"data": {"recipients": to}})
    return json.dumps({"who": f"<{CANARY}>"})


def test_every_column_of_every_table_is_cleaned(
    outbox: Outbox, people: PersonStore
) -> None:
    """Also of tables that are not there yet when this is written."""
    about = "0" * 26
    with outbox.database.engine.begin() as connection:
        for table in metadata.sorted_tables:
            if table.name == "outbox_attached":
                continue
            values = {one.name: _value(one, about) for one in table.columns}
            connection.execute(insert(table).values(values))
    texts = {
        (table.name, one.name)
        for table in metadata.sorted_tables
        for one in table.columns
        if CANARY in str(_value(one, about))
    }
    assert found(outbox, CANARY) == texts - {("outbox_attached", "digest")}

    people.erase(CANARY)

    assert found(outbox, CANARY) == set()


# ---------------------------------------------------------- the suppression survives


def test_a_suppression_holds_by_its_digest(
    outbox: Outbox, people: PersonStore, database: Database, clock: Clock
) -> None:
    elsewhere = opened(database, clock, OLD)
    put(elsewhere, BOB)
    waiting = put(elsewhere, WRITTEN, due_at=clock.now + 60, tag="news")
    outbox.suppress(CANARY, reason="asked us")

    people.erase(CANARY)

    for one in outbox, elsewhere, opened(database, clock, NEW, OLD):
        assert one.get(put(one, WRITTEN)).state is State.SUPPRESSED
        assert one.get(put(one, BOB, CANARY)).state is State.PENDING
        assert one.barred([CANARY, BOB], None).keys() == {CANARY}
        (entry,) = one.suppressions_of(WRITTEN)
        assert entry.address.startswith("digest:")
    assert elsewhere.get(waiting).state is State.CANCELLED
    outbox.suppress(BOB)
    one_key_each = outbox, elsewhere, opened(database, clock, NEW)
    assert [one.unknown_digests() for one in one_key_each] == [0, 0, 1]
    assert opened(database, clock).unknown_digests() == 1


def test_a_claim_recognises_digests(
    outbox: Outbox, people: PersonStore, database: Database, clock: Clock
) -> None:
    without_key = opened(database, clock)
    elsewhere = opened(database, clock, OLD)
    people.erase(CANARY, suppress_by="person")
    missed = put(without_key, CANARY)
    assert without_key.get(missed).state is State.PENDING

    held = claim_one(elsewhere, enlist(elsewhere))

    assert held.id == missed
    assert held.envelope.recipients == ()
    assert elsewhere.get(missed).state is State.SUPPRESSED
    with pytest.raises(TransitionRefused, match="suppressed"):
        outbox.act(MessageActions.retry, missed)


@on_sqlite
def test_a_digest_is_not_recognised_with_another_key(
    people: PersonStore, database: Database, clock: Clock
) -> None:
    people.erase(CANARY, suppress_by="person")
    other = opened(database, clock, NEW)
    assert other.get(put(other, CANARY)).state is State.PENDING


@on_sqlite
def test_a_digest_is_unsuppressed_by_address_or_as_it_is_listed(
    outbox: Outbox, people: PersonStore
) -> None:
    outbox.suppress(CANARY, list="news")
    people.erase(CANARY, suppress_by="person")

    assert outbox.unsuppress(WRITTEN, list="news")
    (left,) = outbox.suppressions()
    assert outbox.unsuppress(left.address)
    assert not outbox.unsuppress(CANARY)

    assert [*outbox.suppressions()] == []
    assert outbox.get(put(outbox, CANARY)).state is State.PENDING


@on_sqlite
@pytest.mark.parametrize("address", ["digest:", "digest:abc", "digest:0:1"])
def test_what_only_begins_like_a_digest_is_refused(
    outbox: Outbox, address: str
) -> None:
    with pytest.raises(AddressError, match="has no '@'"):
        outbox.suppress(address)


def test_a_digest_is_one_entry_of_the_list(
    outbox: Outbox, people: PersonStore, clock: Clock
) -> None:
    outbox.suppress(CANARY, reason="asked us", source="import")
    people.erase(CANARY)
    (kept,) = outbox.suppressions()
    assert (kept.source, kept.reason) == ("import", "")
    assert outbox.measure().suppressions == {"import": 1}

    assert outbox.suppress(CANARY, reason="again") == kept
    listed = new_suppression(CANARY, "", "listed", "provider", clock.now)
    assert outbox.suppress_all([listed]) == 0
    assert outbox.suppress_listed([listed]).known == 1
    assert found(outbox, CANARY) == set()


@on_sqlite
def test_digests_are_carried_to_another_outbox(
    people: PersonStore, outbox: Outbox, tmp_path: Path, clock: Clock
) -> None:
    people.erase(CANARY, suppress_by="person")
    target = Database(f"sqlite:///{tmp_path / 'target.db'}")
    try:
        target.upgrade()
        opened(target, clock).suppress_all([*outbox.suppressions()])
        there = opened(target, clock, OLD)
        assert there.get(put(there, CANARY)).state is State.SUPPRESSED
    finally:
        target.close()


@on_sqlite
def test_without_a_key_no_suppression_is_lost(database: Database, clock: Clock) -> None:
    outbox = opened(database, clock)
    outbox.suppress(CANARY)
    message_id = put(outbox, BOB, CANARY)

    with pytest.raises(ConfigError, match="SECRET_KEY, which is not set"):
        PersonStore(outbox).erase(CANARY)

    assert CANARY in states(outbox, message_id)
    assert [one.address for one in outbox.suppressions()] == [CANARY]


# --------------------------------------------------------------------- SQLite's file


@pytest.fixture
def file(tmp_path: Path, clock: Clock) -> Iterator[Outbox]:
    database = Database(f"sqlite:///{tmp_path / 'outbox.db'}")
    database.upgrade()
    yield opened(database, clock, OLD)
    database.close()


def test_no_bytes_are_left_in_the_file_and_its_log(
    file: Outbox, clock: Clock, tmp_path: Path
) -> None:
    keep_everything(file, clock)
    mail = [
        new_message(clock.now, CANARY, content=b"plumage" * number)
        for number in range(300)
    ]
    file.enqueue(mail)

    def left() -> list[str]:
        return [
            one.name
            for one in tmp_path.iterdir()
            if any(said.encode() in one.read_bytes() for said in (CANARY, *SAID))
        ]

    assert left()

    assert PersonStore(file).erase(CANARY).rewritten is True

    assert left() == []


def test_a_file_that_somebody_reads_is_reported(file: Outbox, clock: Clock) -> None:
    put(file, CANARY)
    with file.database.reading() as connection:
        connection.execute(select(metadata.tables["outbox_lane"])).all()
        assert PersonStore(file).erase(CANARY).rewritten is False
