"""Encrypted addresses and keys: found as before, whichever way they are stored."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from flask_outbox import AddressError, Fate, Feedback, MessageError, State
from flask_outbox.errors import KeyRefused
from flask_outbox.feedback.rules import BOUNCES, SOFT_BOUNCES, FeedbackRules
from flask_outbox.outbox import BatchStore, Database, Outbox, Rekeying, migrations
from flask_outbox.outbox.encryption import Keyring, Place
from flask_outbox.outbox.records import Search
from tests.outbox.making import (
    ADA,
    BOB,
    CY,
    Clock,
    claim_one,
    enlist,
    failed,
    put,
    sent,
)

from .conftest import NEW, OLD, Opener
from .test_at_rest import cells

DOE = "doe@example.org"


def report(outbox: Outbox, fate: Fate, event_id: str, id: str, address: str) -> None:
    at = datetime.fromtimestamp(outbox.clock(), UTC)
    said = Feedback(fate, "own", event_id, at, address=address, message_id=id)
    outbox.take_feedback([said])


def ids_to(outbox: Outbox, address: str, tag: str | None = None) -> list[str]:
    page = outbox.search(Search(address=address, tag=tag))
    return [one.id for one in page.messages]


def is_suppressed(outbox: Outbox, address: str) -> bool:
    return outbox.get(put(outbox, address)).state is State.SUPPRESSED


def suppressed(outbox: Outbox) -> list[str]:
    return sorted(one.address for one in outbox.suppressions())


def may_be_clear(outbox: Outbox) -> bool:
    keys = outbox.database.keys
    assert keys is not None
    return keys.may_be_clear


def test_what_was_stored_in_the_clear_is_found_before_and_after_rekeying(
    open_anywhere: Opener,
) -> None:
    clear = open_anywhere()
    clear.suppress(ADA, reason="asked")
    clear.suppress(DOE)
    clear.suppress_all(entries := [*clear.suppressions()])
    to_both = put(clear, BOB, CY, key="order-1", tag="orders")
    batch = BatchStore(clear).begin("news", None, "issue-1", None)
    held = claim_one(clear, enlist(clear))

    outbox = open_anywhere(NEW)
    outbox.record([failed(held, outbox.clock())])
    outbox.suppress(CY, reason="asked")
    assert outbox.suppress_all(entries) == 0
    assert outbox.unsuppress(DOE)
    second = put(outbox, CY, key="order-2", tag="orders")

    def check(outbox: Outbox) -> None:
        assert suppressed(outbox) == [ADA, CY]
        for one in (ADA, "Ada@EXAMPLE.org", CY):
            assert is_suppressed(outbox, one), one
        assert not is_suppressed(outbox, DOE)
        assert put(outbox, key="order-1") == to_both
        assert put(outbox, key="order-2") == second
        assert ids_to(outbox, CY, tag="orders") == [second, to_both]
        assert ids_to(outbox, "bob@EXAMPLE.org") == [to_both]
        to = outbox.get(to_both).recipients
        assert [one.address for one in to] == [BOB, CY]
        assert {str(one.reply) for one in to} == {"550 5.1.1 no such user"}
        again = BatchStore(outbox).begin("news", None, "issue-1", None)
        assert again.id == batch.id

    assert may_be_clear(outbox)
    check(outbox)
    assert Rekeying(outbox.database).run().failed == []
    check(outbox)
    check(after := open_anywhere(NEW))
    assert not may_be_clear(after)


def test_reports_find_their_recipients_and_suppress_them(
    open_with: Opener, clock: Clock
) -> None:
    def opened(*keys: object) -> Outbox:
        rules = FeedbackRules(frozenset({BOUNCES, SOFT_BOUNCES}), soft_bounce_count=3)
        return Outbox(open_with(*keys).database, clock, feedback_rules=rules)

    before = opened()
    first = put(before, ADA, BOB)
    before.record([sent(claim_one(before, enlist(before)), before.clock())])
    report(before, Fate.SOFT_BOUNCED, "1", first, ADA)

    outbox = opened(NEW)
    report(outbox, Fate.SOFT_BOUNCED, "2", first, ADA)
    report(outbox, Fate.BOUNCED, "3", first, BOB)
    assert suppressed(outbox) == [BOB]
    fates = [one.fate for one in outbox.get(first).recipients]
    assert fates == [Fate.SOFT_BOUNCED, Fate.BOUNCED]

    assert outbox.unsuppress(BOB)
    Rekeying(outbox.database).run()
    after = opened(NEW)
    report(after, Fate.SOFT_BOUNCED, "4", first, ADA)
    assert suppressed(after) == [ADA]


def test_only_a_whole_address_is_found_and_the_error_says_so(
    open_with: Opener,
) -> None:
    outbox = open_with(NEW)
    message_id = put(outbox, ADA)

    assert ids_to(outbox, ADA) == [message_id]
    with pytest.raises(AddressError, match=r"encrypted.* give the whole address"):
        ids_to(outbox, "ada*")


def test_the_longest_addresses_and_keys_fit(open_anywhere: Opener) -> None:
    outbox = open_anywhere(NEW)
    longest = f"{'a' * 64}@{'.'.join(['b' * 61] * 3)}.ef"
    key = "鍵" * 173

    message_id = put(outbox, longest, key=key)
    outbox.record([sent(claim_one(outbox, enlist(outbox)), outbox.clock())])
    report(outbox, Fate.BOUNCED, "1", message_id, longest)
    outbox.suppress(longest, list="l" * 255)

    assert put(outbox, key=key) == message_id
    assert [one.fate for one in outbox.get(message_id).recipients] == [Fate.BOUNCED]
    assert suppressed(outbox) == [longest]
    with pytest.raises(MessageError, match="at most 521 bytes"):
        put(outbox, key=f"{key}鍵")


def test_processes_that_start_at_once_look_up_with_the_same_key(
    open_anywhere: Opener,
) -> None:
    """Even if each of them encrypts with another key."""
    outboxes = [open_anywhere(*keys) for keys in ((NEW, OLD), (OLD, NEW)) * 2]
    start = threading.Barrier(len(outboxes))

    def hand_over(outbox: Outbox) -> str:
        start.wait()
        return put(outbox, key="order-1")

    with ThreadPoolExecutor(len(outboxes)) as threads:
        ids = {*threads.map(hand_over, outboxes)}

    assert len(ids) == 1


def test_without_a_key_that_opens_the_look_up_key_nothing_is_stored(
    open_with: Opener,
) -> None:
    """Else nobody would know who is suppressed."""
    open_with(OLD).suppress(ADA)

    with pytest.raises(KeyRefused, match=r"keys 'old', and none of these is in"):
        put(open_with(NEW), ADA)

    open_with(NEW, OLD).database.open()
    assert is_suppressed(open_with(NEW), ADA)


def test_an_outbox_that_was_encrypted_before_its_addresses_were(
    bare_url: str, clock: Clock
) -> None:
    make_older_outbox(bare_url)
    database = Database(bare_url, keys=[NEW])
    database.upgrade()

    outbox = Outbox(database, clock)

    try:
        assert may_be_clear(outbox)
        assert is_suppressed(outbox, ADA)
        assert [one.reason for one in outbox.suppressions()] == ["asked"]
        assert Rekeying(database).run().failed == []
        assert is_suppressed(outbox, ADA)
        stored = [str(one) for some in cells(outbox).values() for one in some]
        assert not any(ADA in one for one in stored)
    finally:
        database.close()


def make_older_outbox(url: str) -> None:
    """An outbox with a key, in which an address is suppressed, as version 0010 was."""
    keys = Keyring([NEW])
    engine = Database(url).new_engine()
    with engine.begin() as connection:
        migrations.upgrade(connection, "0010")
        proof = keys.seal("proof", Place("outbox_encryption_key.proof", NEW.id))
        connection.execute(
            text("INSERT INTO outbox_encryption_key (id, proof) VALUES (:id, :proof)"),
            {"id": NEW.id, "proof": proof},
        )
        reason = keys.seal("asked", Place("outbox_suppression.reason", ADA))
        connection.execute(
            text(
                "INSERT INTO outbox_suppression (address, list, reason, source, "
                "added_at) VALUES (:address, '', :reason, 'api', 1.0)"
            ),
            {"address": ADA, "reason": reason},
        )
    engine.dispose()
