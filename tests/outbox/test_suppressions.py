"""Suppressions: their lists, and which mail they stop."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from flask_outbox.delivery import State
from flask_outbox.errors import AddressError, MessageError, TransitionRefused
from flask_outbox.outbox import MessageActions, Outbox, new_suppression
from flask_outbox.outbox.records import Suppression

from .making import (
    ADA,
    BOB,
    COURIER,
    CY,
    KEPT,
    LATER,
    LOST,
    NEVER,
    Answers,
    Clock,
    claim_one,
    ended,
    failed,
    kinds,
    put,
    sent,
    states,
)
from .meanwhile import meanwhile

WHY = "on the suppression list since 2030-03-17: asked us to"
SUPPRESSED, SENT, PENDING = State.SUPPRESSED, State.SENT, State.PENDING


def replies(outbox: Outbox, message_id: str) -> dict[str, str]:
    """What was last said of each recipient."""
    recipients = outbox.get(message_id).recipients
    return {one.address: str(one.reply) for one in recipients if one.reply}


# ------------------------------------------------------------------------- the list


def test_suppressions_are_listed_with_reason_source_and_time(
    outbox: Outbox, other: Outbox, clock: Clock
) -> None:
    now = datetime.fromtimestamp(clock.now, UTC)
    kept = outbox.suppress(ADA, reason="asked us to", source="person")

    assert kept == Suppression(ADA, "", "asked us to", "person", now)
    assert [*other.suppressions()] == [kept]


def test_a_second_suppression_of_an_address_changes_nothing(
    outbox: Outbox, clock: Clock
) -> None:
    first = outbox.suppress(ADA, reason="asked us to")
    clock.advance(60)

    assert outbox.suppress("Ada <ADA@Example.org>", reason="again") == first
    assert [*outbox.suppressions()] == [first]


def test_an_address_is_on_several_lists(outbox: Outbox) -> None:
    for name in ("news", "", "offers"):
        outbox.suppress(ADA, list=name)
    outbox.suppress(BOB, list="news")

    assert [(one.address, one.list) for one in outbox.suppressions()] == [
        (ADA, ""),
        (ADA, "news"),
        (ADA, "offers"),
        (BOB, "news"),
    ]
    assert [one.address for one in outbox.suppressions("news")] == [ADA, BOB]


def test_a_suppression_is_removed_for_one_list_only(outbox: Outbox) -> None:
    outbox.suppress(ADA)
    outbox.suppress(ADA, list="news")

    assert outbox.unsuppress("ADA@example.org", list="news")
    assert not outbox.unsuppress(ADA, list="news")
    assert [one.list for one in outbox.suppressions()] == [""]


def test_a_removal_with_a_source_leaves_suppressions_of_other_sources(
    outbox: Outbox,
) -> None:
    outbox.suppress(ADA, list="news", source="unsubscribe")
    outbox.suppress(BOB, list="news", source="person")

    for address, done in ((ADA, True), (BOB, False)):
        assert outbox.unsuppress(address, list="news", source="unsubscribe") is done

    assert [one.address for one in outbox.suppressions()] == [BOB]


def test_suppressed_by_returns_the_suppression_that_applies(outbox: Outbox) -> None:
    """What holds for all mail is named before what holds for a list's."""
    found = [outbox.suppressed_by("Ada@example.org", "news")]
    outbox.suppress(ADA, list="other")
    found.append(outbox.suppressed_by("Ada@example.org", "news"))
    news = outbox.suppress(ADA, list="news")
    found.append(outbox.suppressed_by("Ada@example.org", "news"))
    everything = outbox.suppress(ADA)
    found.append(outbox.suppressed_by("Ada@example.org", "news"))

    assert found == [None, None, news, everything]


def test_a_long_list_is_read_in_order(outbox: Outbox, clock: Clock) -> None:
    entries = [
        new_suppression(
            f"reader-{number:04}@example.org", name, "", "import", clock.now
        )
        for number in range(700)
        for name in ("", "news")
    ]

    assert outbox.suppress_all([*reversed(entries)]) == 1_400
    assert outbox.suppress_all(entries) == 0
    assert [*outbox.suppressions()] == entries


def test_an_address_suppressed_twice_is_stored_once(
    outbox: Outbox, clock: Clock
) -> None:
    entries = [
        new_suppression(ADA, "", reason, "import", clock.now)
        for reason in ("first", "second")
    ]

    assert outbox.suppress_all(entries) == 1
    assert [one.reason for one in outbox.suppressions()] == ["first"]


def test_two_processes_can_suppress_the_same_address(
    outbox: Outbox, other: Outbox
) -> None:
    with meanwhile(
        outbox, "INSERT INTO outbox_suppression", lambda: other.suppress(ADA)
    ) as theirs:
        ours = outbox.suppress(ADA)

    assert theirs.result() == ours
    assert [*outbox.suppressions()] == [ours]


@pytest.mark.parametrize(
    ("address", "changes", "field"),
    [
        ("ada", {}, "address"),
        (ADA, {"list": " news"}, "list"),
        (ADA, {"list": None}, "list"),
        (ADA, {"reason": 7}, "reason"),
    ],
)
def test_an_invalid_suppression_is_refused(
    outbox: Outbox, address: str, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(MessageError) as refused:
        outbox.suppress(address, **changes)

    assert refused.value.field == field
    assert [*outbox.suppressions()] == []


def test_removing_an_invalid_address_is_refused(outbox: Outbox) -> None:
    with pytest.raises(AddressError, match="address: 'ada' has no '@'"):
        outbox.unsuppress("ada")


# ---------------------------------------------------------------------- at hand-over


def test_a_message_without_recipients_left_is_finished(
    outbox: Outbox, clock: Clock
) -> None:
    outbox.suppress(ADA, reason="asked us to")

    message_id = put(outbox, ADA, owner=COURIER)

    record = outbox.get(message_id)
    assert record.state is SUPPRESSED
    assert states(outbox, message_id) == {ADA: SUPPRESSED}
    assert replies(outbox, message_id) == {ADA: WHY}
    assert kinds(outbox, message_id) == ["enqueued", "suppressed"]
    assert outbox.leased_to(COURIER) == []
    assert outbox.claim(COURIER, "default", 10) == []
    assert not outbox.anything_due()
    clock.advance(60)
    assert outbox.prune(30, 30).rows == 1


def test_the_other_recipients_get_the_message(outbox: Outbox, clock: Clock) -> None:
    outbox.suppress(BOB, reason="asked us to")

    message_id = put(outbox, ADA, BOB, CY)

    assert kinds(outbox, message_id) == ["enqueued", "suppressed"]
    held = claim_one(outbox)
    assert held.envelope.recipients == (ADA, CY)
    assert not held.suppressed
    outbox.record([sent(held, clock.now)])
    assert outbox.get(message_id).state is SENT
    assert states(outbox, message_id) == {ADA: SENT, BOB: SUPPRESSED, CY: SENT}
    assert replies(outbox, message_id)[BOB] == WHY


@pytest.mark.parametrize(
    ("suppressed", "recipient"),
    [
        ("ada@example.org", "Ada@example.org"),
        ("ADA@EXAMPLE.ORG", "ada@example.org"),
        ("jörg@müller.example", "JÖRG@xn--mller-kva.example"),
        ("JO\u0308RG@example.org", "j\u00f6rg@example.org"),
        ('"ada.king"@example.org', "ada.king@example.org"),
    ],
)
def test_every_spelling_of_a_mailbox_is_suppressed(
    outbox: Outbox, suppressed: str, recipient: str
) -> None:
    outbox.suppress(suppressed)

    assert outbox.barred([recipient], None).keys() == {recipient}
    assert outbox.get(put(outbox, recipient)).state is SUPPRESSED


@pytest.mark.parametrize("recipient", ["ada+news@example.org", "ada@sub.example.org"])
def test_similar_addresses_are_not_suppressed(outbox: Outbox, recipient: str) -> None:
    outbox.suppress(ADA)

    assert outbox.get(put(outbox, recipient)).state is PENDING


@pytest.mark.parametrize(
    ("name", "tag", "state"),
    [
        ("", None, SUPPRESSED),
        ("", "news", SUPPRESSED),
        ("news", "news", SUPPRESSED),
        ("news", "offers", PENDING),
        ("news", None, PENDING),
    ],
)
def test_a_list_applies_to_mail_with_its_tag(
    outbox: Outbox, name: str, tag: str | None, state: State
) -> None:
    outbox.suppress(ADA, list=name)

    assert outbox.get(put(outbox, tag=tag)).state is state


def test_a_suppression_for_all_mail_is_named_first(outbox: Outbox) -> None:
    outbox.suppress(ADA, list="news", reason="unsubscribed")
    assert replies(outbox, put(outbox, tag="news")) == {
        ADA: "on the suppression list for news since 2030-03-17: unsubscribed"
    }
    outbox.suppress(ADA, reason="asked us to")
    assert replies(outbox, put(outbox, tag="news")) == {ADA: WHY}


def test_suppressions_are_found_among_a_thousand_recipients(outbox: Outbox) -> None:
    everyone = [f"reader-{number}@example.org" for number in range(1_000)]
    barred = everyone[7], everyone[511], everyone[512], everyone[999]
    for address in barred:
        outbox.suppress(address)

    message_id = put(outbox, *everyone)

    kept_back = [
        one for one, state in states(outbox, message_id).items() if state is SUPPRESSED
    ]
    assert kept_back == [*barred]
    assert len(claim_one(outbox).envelope.recipients) == 996


def test_a_key_finds_a_suppressed_message(outbox: Outbox) -> None:
    outbox.suppress(ADA)
    first = put(outbox, key="welcome-1")
    outbox.unsuppress(ADA)

    assert put(outbox, key="welcome-1") == first
    assert outbox.get(first).state is SUPPRESSED


# ----------------------------------------------------------------------- at delivery


def test_a_recipient_suppressed_while_it_waits(outbox: Outbox, other: Outbox) -> None:
    message_id = put(outbox, ADA, BOB)
    other.suppress(ADA, reason="asked us to")

    held = claim_one(outbox)

    assert held.envelope.recipients == (BOB,)
    assert held.suppressed == {ADA: WHY}
    assert states(other, message_id) == {ADA: SUPPRESSED, BOB: PENDING}
    assert kinds(other, message_id) == ["enqueued", "suppressed"]


def test_all_recipients_suppressed_while_it_waits(outbox: Outbox, clock: Clock) -> None:
    message_id = put(outbox, ADA, BOB)
    for address in (ADA, BOB):
        outbox.suppress(address, reason="asked us to")

    held = claim_one(outbox)

    assert held.envelope.recipients == ()
    assert held.suppressed == {ADA: WHY, BOB: WHY}
    assert outbox.get(message_id).state is SUPPRESSED
    assert outbox.leased_to(COURIER) == []
    assert outbox.record([sent(held, clock.now)]).lost == [held]
    assert outbox.get(message_id).state is SUPPRESSED


def test_a_claim_with_limits_leaves_suppressed_recipients_out(outbox: Outbox) -> None:
    put(outbox, ADA, tag="news")
    put(outbox, ADA)
    outbox.suppress(ADA, list="news")

    claims, _ = outbox.claim_within(COURIER, "default", 10, "default", ())

    assert [held.envelope.recipients for held in claims] == [(), (ADA,)]


@pytest.mark.parametrize(
    ("earlier", "state"),
    [
        ((SENT, KEPT), SENT),
        ((State.FAILED, NEVER), State.FAILED),
        ((State.UNKNOWN, LOST), State.UNKNOWN),
    ],
    ids=lambda one: str(one[0]) if isinstance(one, tuple) else str(one),
)
def test_a_message_ends_in_the_state_of_its_other_recipients(
    outbox: Outbox, clock: Clock, earlier: tuple[State, object], state: State
) -> None:
    message_id = put(outbox, ADA, BOB)
    answers: Answers = {ADA: earlier, BOB: (PENDING, LATER)}  # type: ignore[dict-item]
    record = ended(claim_one(outbox), clock.now, PENDING, answers, due_at=clock.now)
    outbox.record([record])
    outbox.suppress(BOB)

    assert claim_one(outbox).envelope.recipients == ()
    assert outbox.get(message_id).state is state
    assert states(outbox, message_id) == {ADA: earlier[0], BOB: SUPPRESSED}


def test_suppressing_and_claiming_at_the_same_time_is_safe(
    outbox: Outbox, other: Outbox
) -> None:
    """Whichever comes first, the one who is told that it holds may rely on it."""
    message_id = put(outbox, ADA)

    with meanwhile(outbox, "SELECT max", lambda: other.suppress(ADA)) as suppressed:
        held = claim_one(outbox)

    assert suppressed.result().address == ADA
    came_first = outbox.get(message_id).state is SUPPRESSED
    assert held.envelope.recipients == (() if came_first else (ADA,))


# ------------------------------------------------------------------------- and again


def test_a_retry_is_refused_while_the_suppression_holds(outbox: Outbox) -> None:
    outbox.suppress(ADA, reason="asked us to")
    message_id = put(outbox)
    before = outbox.get(message_id)

    with pytest.raises(TransitionRefused) as refused:
        outbox.act(MessageActions.retry, message_id)

    assert str(refused.value) == (
        f"Message {message_id} cannot be retried: all of its remaining recipients are "
        f"suppressed ({ADA}: {WHY}). End that first, by 'flask outbox unsuppress "
        "ADDRESS' or on the dashboard's page Suppressions."
    )
    assert outbox.get(message_id) == before


def test_a_retry_works_once_the_suppression_is_removed(
    outbox: Outbox, clock: Clock
) -> None:
    outbox.suppress(ADA)
    message_id = put(outbox)
    outbox.unsuppress(ADA)

    outbox.act(MessageActions.retry, message_id)

    assert outbox.get(message_id).state is PENDING
    held = claim_one(outbox)
    assert held.envelope.recipients == (ADA,)
    outbox.record([sent(held, clock.now)])
    assert kinds(outbox, message_id) == ["enqueued", "suppressed", "retried", "sent"]


def test_a_retry_reaches_those_who_may_be_mailed(outbox: Outbox, clock: Clock) -> None:
    message_id = put(outbox, ADA, BOB)
    outbox.record([failed(claim_one(outbox), clock.now)])
    outbox.suppress(BOB)

    outbox.act(MessageActions.retry, message_id)

    assert claim_one(outbox).envelope.recipients == (ADA,)
    assert states(outbox, message_id) == {ADA: PENDING, BOB: SUPPRESSED}


def test_a_retry_for_suppressed_recipients_only(outbox: Outbox, clock: Clock) -> None:
    outbox.suppress(BOB)
    message_id = put(outbox, ADA, BOB)
    outbox.record([sent(claim_one(outbox), clock.now)])
    outbox.unsuppress(BOB)

    with pytest.raises(TransitionRefused) as refused:
        outbox.act(MessageActions.retry, message_id)

    assert str(refused.value) == (
        f"Message {message_id} was sent to every recipient who is not suppressed: "
        "there is nothing to retry. To mail the others, send a new message."
    )


def test_a_suppressed_message_cannot_be_cancelled(outbox: Outbox) -> None:
    outbox.suppress(ADA)
    message_id = put(outbox)

    with pytest.raises(TransitionRefused, match="is suppressed: there is nothing to"):
        outbox.act(MessageActions.cancel, message_id)


# ------------------------------------------------------------- what a provider lists


def test_what_a_provider_lists_is_suppressed_unless_it_was_removed_since(
    outbox: Outbox, clock: Clock
) -> None:
    def entry(address: str, **evidence: float) -> Suppression:
        return new_suppression(address, "", "", "provider", clock.now, evidence)

    for one in (ADA, BOB, CY):
        outbox.suppress(one)
    for one in (ADA, BOB):
        outbox.unsuppress(one)
    removed_at = clock.now
    dan = "dan@example.org"
    entries = [
        entry(ADA, at=removed_at),
        entry(BOB, at=removed_at + 1),
        entry(CY, at=removed_at),
        entry(dan),
        entry(dan),
    ]
    tried = outbox.suppress_listed(entries, dry_run=True)
    assert {one.address for one in outbox.suppressions()} == {CY}
    assert outbox.suppress_listed(entries) == tried
    assert ([one.address for one in tried.added], tried.known, tried.pardoned) == (
        [BOB, dan],
        2,
        1,
    )
    assert {one.address for one in outbox.suppressions()} == {BOB, CY, dan}
    outbox.unsuppress(dan)
    assert outbox.suppress_listed([entry(dan)]).pardoned == 1
