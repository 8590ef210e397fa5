"""Addresses that must not be mailed: on which list, since when, and what that stops."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from flask_outbox.delivery import State
from flask_outbox.errors import AddressError, MessageError, TransitionRefused
from flask_outbox.outbox.records import Suppression
from flask_outbox.outbox.store import Outbox
from flask_outbox.outbox.suppressions import entry
from flask_outbox.patience import Patience

from .making import (
    ADA,
    BOB,
    COURIER,
    CY,
    KEPT,
    LATER,
    LOST,
    NEVER,
    PATIENCE_SECONDS,
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


def test_who_is_on_it(outbox: Outbox, other: Outbox, clock: Clock) -> None:
    now = datetime.fromtimestamp(clock.now, UTC)
    kept = outbox.suppress(ADA, reason="asked us to", source="person")

    assert kept == Suppression(ADA, "", "asked us to", "person", now)
    assert [*other.suppressions()] == [kept]


def test_what_is_there_stays(outbox: Outbox, clock: Clock) -> None:
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


def test_it_ends_list_by_list(outbox: Outbox) -> None:
    outbox.suppress(ADA)
    outbox.suppress(ADA, list="news")

    assert outbox.unsuppress("ADA@example.org", list="news")
    assert not outbox.unsuppress(ADA, list="news")
    assert [one.list for one in outbox.suppressions()] == [""]


def test_only_who_began_it_ends_it(outbox: Outbox) -> None:
    outbox.suppress(ADA, list="news", source="unsubscribe")
    outbox.suppress(BOB, list="news", source="person")

    for address, done in ((ADA, True), (BOB, False)):
        assert outbox.unsuppress(address, list="news", source="unsubscribe") is done

    assert [one.address for one in outbox.suppressions()] == [BOB]


def test_what_keeps_mail_from_an_address(outbox: Outbox) -> None:
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
        entry(f"reader-{number:04}@example.org", name, "", "import", clock.now)
        for number in range(700)
        for name in ("", "news")
    ]

    assert outbox.suppress_all([*reversed(entries)]) == 1_400
    assert outbox.suppress_all(entries) == 0
    assert [*outbox.suppressions()] == entries


def test_who_comes_twice_in_one_go_is_kept_once(outbox: Outbox, clock: Clock) -> None:
    entries = [
        entry(ADA, "", reason, "import", clock.now) for reason in ("first", "second")
    ]

    assert outbox.suppress_all(entries) == 1
    assert [one.reason for one in outbox.suppressions()] == ["first"]


def test_two_who_suppress_the_same(outbox: Outbox, other: Outbox) -> None:
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
def test_what_cannot_be_kept(
    outbox: Outbox, address: str, changes: dict[str, str], field: str
) -> None:
    with pytest.raises(MessageError) as refused:
        outbox.suppress(address, **changes)

    assert refused.value.field == field
    assert [*outbox.suppressions()] == []


def test_who_has_no_address_cannot_be_taken_off(outbox: Outbox) -> None:
    with pytest.raises(AddressError, match="address: 'ada' has no '@'"):
        outbox.unsuppress("ada")


# ---------------------------------------------------------------------- at hand-over


def test_a_message_for_nobody_is_settled(outbox: Outbox, clock: Clock) -> None:
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


def test_the_others_get_it(outbox: Outbox, clock: Clock) -> None:
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
def test_one_mailbox_in_several_spellings(
    outbox: Outbox, suppressed: str, recipient: str
) -> None:
    outbox.suppress(suppressed)

    assert outbox.barred([recipient], None).keys() == {recipient}
    assert outbox.get(put(outbox, recipient)).state is SUPPRESSED


@pytest.mark.parametrize("recipient", ["ada+news@example.org", "ada@sub.example.org"])
def test_another_mailbox(outbox: Outbox, recipient: str) -> None:
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
def test_a_list_is_of_the_mail_with_that_tag(
    outbox: Outbox, name: str, tag: str | None, state: State
) -> None:
    outbox.suppress(ADA, list=name)

    assert outbox.get(put(outbox, tag=tag)).state is state


def test_the_list_of_everything_is_named_first(outbox: Outbox) -> None:
    outbox.suppress(ADA, list="news", reason="unsubscribed")
    assert replies(outbox, put(outbox, tag="news")) == {
        ADA: "on the suppression list for news since 2030-03-17: unsubscribed"
    }
    outbox.suppress(ADA, reason="asked us to")
    assert replies(outbox, put(outbox, tag="news")) == {ADA: WHY}


def test_a_thousand_recipients(outbox: Outbox) -> None:
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


def test_the_same_key_finds_it(outbox: Outbox) -> None:
    outbox.suppress(ADA)
    first = put(outbox, key="welcome-1")
    outbox.unsuppress(ADA)

    assert put(outbox, key="welcome-1") == first
    assert outbox.get(first).state is SUPPRESSED


# ----------------------------------------------------------------------- at delivery


def test_who_is_suppressed_while_it_waits(outbox: Outbox, other: Outbox) -> None:
    message_id = put(outbox, ADA, BOB)
    other.suppress(ADA, reason="asked us to")

    held = claim_one(outbox)

    assert held.envelope.recipients == (BOB,)
    assert held.suppressed == {ADA: WHY}
    assert states(other, message_id) == {ADA: SUPPRESSED, BOB: PENDING}
    assert kinds(other, message_id) == ["enqueued", "suppressed"]


def test_nobody_is_left_of_one_that_waits(outbox: Outbox, clock: Clock) -> None:
    message_id = put(outbox, ADA, BOB)
    for address in (ADA, BOB):
        outbox.suppress(address, reason="asked us to")

    held = claim_one(outbox)

    assert held.envelope.recipients == ()
    assert held.suppressed == {ADA: WHY, BOB: WHY}
    assert outbox.get(message_id).state is SUPPRESSED
    assert outbox.leased_to(COURIER) == []
    assert outbox.record([sent(held, clock.now)]) == [held]
    assert outbox.get(message_id).state is SUPPRESSED


def test_within_limits_too(outbox: Outbox) -> None:
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
def test_the_message_is_what_it_came_to_for_the_others(
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


def test_suppress_and_claim_at_once(outbox: Outbox, other: Outbox) -> None:
    """Whichever comes first, the one who is told that it holds may rely on it."""
    message_id = put(outbox, ADA)

    with meanwhile(outbox, "SELECT max", lambda: other.suppress(ADA)) as suppressed:
        held = claim_one(outbox)

    assert suppressed.result().address == ADA
    came_first = outbox.get(message_id).state is SUPPRESSED
    assert held.envelope.recipients == (() if came_first else (ADA,))


# ------------------------------------------------------------------------- and again


def test_a_retry_while_it_holds_is_refused(outbox: Outbox) -> None:
    outbox.suppress(ADA, reason="asked us to")
    message_id = put(outbox)
    before = outbox.get(message_id)

    with pytest.raises(TransitionRefused) as refused:
        outbox.retry(message_id, Patience(PATIENCE_SECONDS))

    assert str(refused.value) == (
        f"Message {message_id} cannot be retried: nobody who has not got it may be "
        f"mailed ({ADA}: {WHY}). 'flask outbox unsuppress' ends a suppression."
    )
    assert outbox.get(message_id) == before


def test_a_retry_once_it_has_ended(outbox: Outbox, clock: Clock) -> None:
    outbox.suppress(ADA)
    message_id = put(outbox)
    outbox.unsuppress(ADA)

    outbox.retry(message_id, Patience(PATIENCE_SECONDS))

    assert outbox.get(message_id).state is PENDING
    held = claim_one(outbox)
    assert held.envelope.recipients == (ADA,)
    outbox.record([sent(held, clock.now)])
    assert kinds(outbox, message_id) == ["enqueued", "suppressed", "retried", "sent"]


def test_a_retry_reaches_those_who_may_be_mailed(outbox: Outbox, clock: Clock) -> None:
    message_id = put(outbox, ADA, BOB)
    outbox.record([failed(claim_one(outbox), clock.now)])
    outbox.suppress(BOB)

    outbox.retry(message_id, Patience(PATIENCE_SECONDS))

    assert claim_one(outbox).envelope.recipients == (ADA,)
    assert states(outbox, message_id) == {ADA: PENDING, BOB: SUPPRESSED}


def test_a_retry_for_those_who_were_left_out(outbox: Outbox, clock: Clock) -> None:
    outbox.suppress(BOB)
    message_id = put(outbox, ADA, BOB)
    outbox.record([sent(claim_one(outbox), clock.now)])
    outbox.unsuppress(BOB)

    with pytest.raises(TransitionRefused) as refused:
        outbox.retry(message_id, Patience(PATIENCE_SECONDS))

    assert str(refused.value) == (
        f"Message {message_id} was sent to everyone who could be mailed: send it anew "
        "to those who could not."
    )


def test_there_is_nothing_to_cancel(outbox: Outbox) -> None:
    outbox.suppress(ADA)
    message_id = put(outbox)

    with pytest.raises(TransitionRefused, match="is suppressed: there is nothing to"):
        outbox.cancel(message_id)
