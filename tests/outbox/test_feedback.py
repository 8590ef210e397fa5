"""Reports of what became of mail: fates, histories, and who is suppressed for it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from sqlalchemy import event

from flask_outbox.delivery import Reply, State
from flask_outbox.errors import EventsRefused
from flask_outbox.feedback import Fate, Feedback
from flask_outbox.feedback.provider import OneTimeToken
from flask_outbox.feedback.rules import (
    BOUNCES,
    COMPLAINTS,
    DAY,
    GROUNDS,
    SOFT_BOUNCES,
    FeedbackRules,
)
from flask_outbox.outbox import BatchStore, Outbox, new_id
from flask_outbox.outbox.received import LOOK_AFTER_SECONDS, LOOK_FOR_SECONDS
from flask_outbox.outbox.records import FeedbackTaken, Search, Suppression, Taking
from flask_outbox.outbox.transfer.rows import depart
from flask_outbox.recipient_guard import Guard

from .making import (
    ADA,
    BOB,
    COURIER,
    CY,
    Clock,
    claim_one,
    ended,
    failed,
    kinds,
    put,
    sent,
)

FULL = Reply(452, "4.2.2", "mailbox full")
GONE = Reply(550, "5.1.1", "no such user")

_numbers = count(1)


def report(fate: Fate, at: float, **changes: Any) -> Feedback:
    """A report of Postmark's, unlike any before."""
    given: dict[str, Any] = {
        "source": "postmark",
        "event_id": f"event-{next(_numbers)}",
        "address": ADA,
    }
    when = datetime.fromtimestamp(at, UTC)
    return Feedback(fate, at=when, **{**given, **changes})


@pytest.fixture
def outbox(outbox: Outbox) -> Outbox:
    outbox.feedback_rules = FeedbackRules(frozenset(GROUNDS))
    return outbox


@pytest.fixture
def other(other: Outbox) -> Outbox:
    other.feedback_rules = FeedbackRules(frozenset(GROUNDS))
    return other


def delivered(outbox: Outbox, *recipients: str, **changes: Any) -> str:
    """A message that the next hop took."""
    message_id = put(outbox, *recipients, **changes)
    outbox.record([sent(claim_one(outbox), outbox.clock())])
    return message_id


def statements(outbox: Outbox, call: Callable[[], object]) -> int:
    """How many statements a call makes, beside those on the driver's own cursor."""
    made: list[str] = []
    engine = outbox.database.engine

    def note(_conn: Any, _cursor: Any, text: str, *_rest: Any) -> None:
        if text.startswith(("SELECT", "INSERT", "UPDATE", "DELETE")):
            made.append(text)

    event.listen(engine, "before_cursor_execute", note)
    try:
        call()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return len(made)


def takings(taken: FeedbackTaken) -> list[Taking]:
    return [one.taking for one in taken.reports]


def fates(outbox: Outbox, message_id: str) -> dict[str, Fate | None]:
    return {one.address: one.fate for one in outbox.get(message_id).recipients}


def barred(outbox: Outbox) -> list[tuple[str, str, str]]:
    return [(one.address, one.list, one.source) for one in outbox.suppressions()]


# --------------------------------------------------------------- how its mail is found


def test_a_report_gives_its_recipient_a_fate(outbox: Outbox, clock: Clock) -> None:
    message_id = delivered(outbox, ADA, BOB)
    clock.advance(60)
    one = report(Fate.BOUNCED, clock.now - 7, message_id=message_id, reply=GONE)

    taken = outbox.take_feedback([one])

    (came,) = taken.reports
    assert (came.taking, came.message_id) == (Taking.APPLIED, message_id)
    (told,) = came.fates
    assert (told.address, told.before, told.after) == (ADA, None, Fate.BOUNCED)
    ada, bob = outbox.get(message_id).recipients
    assert (ada.fate, ada.fate_at, ada.fate_text) == (Fate.BOUNCED, one.at, str(GONE))
    assert ada.state is State.SENT
    assert (bob.fate, bob.fate_at, bob.fate_text) == (None, None, None)
    assert kinds(outbox, message_id) == ["enqueued", "sent", "bounced"]
    event = outbox.get(message_id).events[-1]
    assert event.at == one.at
    assert event.detail == {"address": ADA, "source": "postmark", "words": str(GONE)}


@pytest.mark.parametrize("named", ["Ada@Example.ORG", "<ada@example.org>", None])
def test_the_recipient_may_be_named_in_any_way_or_not_at_all(
    outbox: Outbox, named: str | None
) -> None:
    message_id = delivered(outbox)

    outbox.take_feedback(
        [report(Fate.DELIVERED, 1.0, message_id=message_id, address=named)]
    )

    assert fates(outbox, message_id) == {ADA: Fate.DELIVERED}


def test_a_report_that_names_nobody_concerns_everyone_and_suppresses_nobody(
    outbox: Outbox,
) -> None:
    message_id = delivered(outbox, ADA, BOB)

    outbox.take_feedback(
        [report(Fate.BOUNCED, 1.0, message_id=message_id, address=None)]
    )

    assert fates(outbox, message_id) == {ADA: Fate.BOUNCED, BOB: Fate.BOUNCED}
    assert barred(outbox) == []


def taken_by(
    provider: str, outbox: Outbox, given: dict[str, str], **changes: Any
) -> str:
    """A message that a provider took, which gave it these ids."""
    message_id = put(outbox, *given, **changes)
    record = sent(claim_one(outbox), outbox.clock())
    outbox.record([replace(record, provider=provider, provider_ids=given)])
    return message_id


def test_a_message_is_found_by_the_id_that_its_provider_gave_it(
    outbox: Outbox,
) -> None:
    message_id = taken_by("postmark", outbox, {ADA: "pm-1", BOB: "pm-2"})

    taken = outbox.take_feedback(
        [
            report(Fate.DELIVERED, 1.0, provider_id="pm-1"),
            report(Fate.BOUNCED, 1.0, provider_id="pm-2", address=None),
            report(Fate.BOUNCED, 1.0, provider_id="pm-1", source="ses"),
            report(Fate.BOUNCED, 1.0, provider_id="pm-3"),
        ]
    )

    assert takings(taken) == ["applied", "applied", "unmatched", "unmatched"]
    assert fates(outbox, message_id) == {ADA: Fate.DELIVERED, BOB: Fate.BOUNCED}
    assert barred(outbox) == [(BOB, "", "bounce")]


def test_one_id_for_a_whole_call_means_the_message_to_that_address(
    outbox: Outbox,
) -> None:
    first, second = (
        taken_by("sendgrid", outbox, {one: "call-1"}) for one in (ADA, BOB)
    )

    taken = outbox.take_feedback(
        [
            report(
                Fate.BOUNCED, 1.0, provider_id="call-1", source="sendgrid", address=one
            )
            for one in (BOB, None)
        ]
    )

    assert takings(taken) == ["applied", "unmatched"]
    assert fates(outbox, first) == {ADA: None}
    assert fates(outbox, second) == {BOB: Fate.BOUNCED}


@pytest.mark.parametrize("form", ["<{}@example.org>", "{}@example.org"])
def test_a_message_is_found_by_its_message_id_header(outbox: Outbox, form: str) -> None:
    message_id = delivered(outbox)
    named = form.format(message_id)

    outbox.take_feedback([report(Fate.COMPLAINED, 1.0, rfc_message_id=named)])

    assert fates(outbox, message_id) == {ADA: Fate.COMPLAINED}


def test_the_header_of_another_host_is_another_messages(outbox: Outbox) -> None:
    named = f"{delivered(outbox)}@elsewhere.example"

    taken = outbox.take_feedback([report(Fate.BOUNCED, 1.0, rfc_message_id=named)])

    assert takings(taken) == ["unmatched"]


def test_somebody_who_is_no_recipient_changes_nothing(
    outbox: Outbox, clock: Clock
) -> None:
    message_id = delivered(outbox)
    one = report(Fate.BOUNCED, 1.0, message_id=message_id, address=BOB)

    assert takings(outbox.take_feedback([one])) == ["ignored"]
    clock.advance(60)

    assert outbox.match_feedback().reports == ()
    assert fates(outbox, message_id) == {ADA: None}
    assert kinds(outbox, message_id) == ["enqueued", "sent"]
    assert barred(outbox) == []
    assert takings(outbox.take_feedback([one])) == ["repeated"]


# ------------------------------------------------------------------------- repetitions


def test_a_report_is_taken_once(outbox: Outbox, other: Outbox) -> None:
    message_id = delivered(outbox)
    one = report(Fate.DELIVERED, 1.0, message_id=message_id)

    taken = [outbox.take_feedback([one, one]), other.take_feedback([one])]

    assert [takings(some) for some in taken] == [["applied", "repeated"], ["repeated"]]
    assert kinds(outbox, message_id) == ["enqueued", "sent", "delivered"]


def test_two_receivers_take_the_same_reports_once(
    outbox: Outbox, other: Outbox
) -> None:
    ids = [delivered(outbox) for _ in range(40)]
    reports = [report(Fate.BOUNCED, 1.0, message_id=one) for one in ids]

    with ThreadPoolExecutor(2) as threads:
        taken = list(
            threads.map(
                lambda receiver, some: receiver.take_feedback(some),
                (outbox, other),
                (reports, reports[::-1]),
            )
        )

    counts = [some.count(Taking.APPLIED) for some in taken]
    assert sum(counts) == 40
    assert sum(len(some.suppressed) for some in taken) == 1
    assert all(kinds(outbox, one) == ["enqueued", "sent", "bounced"] for one in ids)


def test_many_reports_take_as_many_statements_as_a_few(outbox: Outbox) -> None:
    """Beside their own rows, which go to the driver's cursor as sets."""
    ids = [delivered(outbox, f"{number}@example.org") for number in range(200)]

    def of(some: list[str]) -> int:
        reports = [
            report(fate, 1.0, message_id=one, address=None)
            for one in some
            for fate in (Fate.SOFT_BOUNCED, Fate.BOUNCED)
        ]
        return statements(outbox, lambda: outbox.take_feedback(reports))

    assert of(ids[5:]) == of(ids[:5]) <= 10


# ------------------------------------------------------------------- what goes further


@pytest.mark.parametrize("backwards", [False, True])
def test_a_fate_never_goes_back(outbox: Outbox, backwards: bool) -> None:
    outbox.feedback_rules = FeedbackRules(track_tags=True)
    message_id = delivered(outbox)
    reports = [report(fate, 1.0, message_id=message_id) for fate in Fate]

    for one in reversed(reports) if backwards else reports:
        outbox.take_feedback([one])

    assert fates(outbox, message_id) == {ADA: Fate.COMPLAINED}
    assert len(kinds(outbox, message_id)) == 2 + len(Fate)


def test_the_earlier_of_two_equal_reports_stays(outbox: Outbox) -> None:
    message_id = delivered(outbox)
    for at in (5.0, 3.0, 4.0):
        words = Reply(250, None, f"taken at {at}")
        outbox.take_feedback(
            [report(Fate.DELIVERED, at, message_id=message_id, reply=words)]
        )

    (ada,) = outbox.get(message_id).recipients
    assert ada.fate_text == "250 taken at 3.0"
    assert ada.fate_at == datetime.fromtimestamp(3.0, UTC)


def test_each_new_fate_is_announced_and_no_old_one(outbox: Outbox) -> None:
    message_id = delivered(outbox)
    reports = [
        report(fate, 1.0, message_id=message_id)
        for fate in (Fate.DELAYED, Fate.DELIVERED, Fate.DELAYED, Fate.BOUNCED)
    ]

    said = [*outbox.take_feedback(reports).announcements()]

    assert [(signal.name, payload.get("fate")) for signal, payload in said] == [
        ("fate-changed", Fate.DELAYED),
        ("fate-changed", Fate.DELIVERED),
        ("fate-changed", Fate.BOUNCED),
        ("address-suppressed", None),
    ]
    assert [payload["before"] for _, payload in said[:3]] == [
        None,
        Fate.DELAYED,
        Fate.DELIVERED,
    ]


def test_a_history_has_reports_when_they_happened_but_not_before_the_message(
    outbox: Outbox, clock: Clock
) -> None:
    message_id = delivered(outbox)
    enqueued_at = outbox.get(message_id).enqueued_at
    clock.advance(60)
    outbox.take_feedback(
        [
            report(Fate.DELAYED, 1.0, message_id=message_id),
            report(Fate.DELIVERED, clock.now + 3_600, message_id=message_id),
        ]
    )

    events = {event.kind: event.at for event in outbox.get(message_id).events}
    assert events["delayed"] == enqueued_at
    assert events["delivered"] == datetime.fromtimestamp(clock.now, UTC)


# ------------------------------------------------------------------ before its message


def test_a_report_that_comes_first_is_applied_later(
    outbox: Outbox, other: Outbox, clock: Clock
) -> None:
    early = report(Fate.BOUNCED, clock.now, provider_id="pm-1")
    assert takings(outbox.take_feedback([early])) == ["unmatched"]
    assert barred(outbox) == []
    message_id = taken_by("postmark", outbox, {ADA: "pm-1"})
    assert other.match_feedback().reports == (), "it was just looked for"
    clock.advance(LOOK_AFTER_SECONDS)

    taken = other.match_feedback()

    assert takings(taken) == ["applied"]
    assert [signal.name for signal, _ in taken.announcements()] == [
        "fate-changed",
        "address-suppressed",
    ]
    assert fates(outbox, message_id) == {ADA: Fate.BOUNCED}
    assert barred(outbox) == [(ADA, "", "bounce")]
    clock.advance(3_600)
    assert outbox.match_feedback().reports == ()
    assert takings(outbox.take_feedback([early])) == ["repeated"]


def test_a_report_without_a_message_is_looked_at_ever_more_rarely(
    outbox: Outbox, clock: Clock
) -> None:
    outbox.take_feedback([report(Fate.BOUNCED, clock.now, provider_id="foreign")])

    looks = 0
    for _ in range(int(2 * LOOK_FOR_SECONDS / 600)):
        clock.advance(600)
        looks += len(outbox.match_feedback().reports)

    assert 5 <= looks <= 20
    assert statements(outbox, outbox.match_feedback) == 1
    assert barred(outbox) == []


def test_a_moving_message_is_not_here(outbox: Outbox, clock: Clock) -> None:
    """Its rows are on their way: what is written to them here would be lost."""
    message_id = delivered(outbox)
    with outbox.database.engine.begin() as connection:
        depart(connection, new_id(), 1, "elsewhere", clock.now)

    taken = outbox.take_feedback(
        [report(Fate.BOUNCED, clock.now, message_id=message_id)]
    )

    assert takings(taken) == ["unmatched"]
    assert kinds(outbox, message_id) == ["enqueued", "sent"]


# ------------------------------------------------------------------- for those who ask


@pytest.mark.parametrize(
    ("track", "tag", "taking"),
    [
        (False, "news", "ignored"),
        (True, None, "applied"),
        (frozenset({"news"}), "news", "applied"),
        (frozenset({"news"}), "offers", "ignored"),
        (frozenset({"news"}), None, "ignored"),
    ],
)
def test_openings_are_taken_of_mail_that_asks_for_them(
    outbox: Outbox, track: frozenset[str] | bool, tag: str | None, taking: str
) -> None:
    outbox.feedback_rules = FeedbackRules(track_tags=track)
    message_id = delivered(outbox, tag=tag)

    taken = outbox.take_feedback([report(Fate.OPENED, 1.0, message_id=message_id)])

    assert takings(taken) == [taking]
    fate = Fate.OPENED if taking == "applied" else None
    assert fates(outbox, message_id) == {ADA: fate}
    assert stored(outbox) == (taking == "applied"), "what is ignored is not kept"


def stored(outbox: Outbox) -> int:
    """How many reports are kept."""
    with outbox.database.reading() as connection:
        counted = connection.exec_driver_sql("SELECT count(*) FROM outbox_feedback")
        return int(counted.scalar_one())


# ------------------------------------------------------------------ what is suppressed


@pytest.mark.parametrize(
    ("fate", "changes", "wanted"),
    [
        (Fate.BOUNCED, {}, [(ADA, "", "bounce")]),
        (Fate.BOUNCED, {"operator": True}, []),
        (Fate.COMPLAINED, {}, [(ADA, "", "complaint")]),
        (Fate.SOFT_BOUNCED, {}, []),
        (Fate.DELAYED, {}, []),
        (Fate.DELIVERED, {}, []),
        (
            Fate.UNSUBSCRIBED,
            {"detail": {"list": "theirs"}},
            [(ADA, "news", "unsubscribe")],
        ),
    ],
)
def test_what_is_reported_suppresses(
    outbox: Outbox, fate: Fate, changes: dict[str, Any], wanted: list[tuple[str, ...]]
) -> None:
    message_id = delivered(outbox, ADA, BOB, tag="news")

    taken = outbox.take_feedback([report(fate, 1.0, message_id=message_id, **changes)])

    assert barred(outbox) == wanted
    assert [*taken.suppressed] == [*outbox.suppressions()]


@pytest.mark.parametrize(
    ("list_", "wanted"),
    [("theirs", [(ADA, "theirs", "unsubscribe")]), (None, []), (" x\x00", []), (7, [])],
)
def test_without_a_tag_the_list_that_the_report_names_counts(
    outbox: Outbox, list_: object, wanted: list[tuple[str, ...]]
) -> None:
    outbox.feedback_rules = FeedbackRules()
    message_id = delivered(outbox)
    detail = {"list": list_}

    outbox.take_feedback(
        [report(Fate.UNSUBSCRIBED, 1.0, message_id=message_id, detail=detail)]
    )

    assert barred(outbox) == wanted


def test_a_suppression_has_its_report_as_evidence(outbox: Outbox) -> None:
    message_id = delivered(outbox)
    one = report(Fate.BOUNCED, 5.0, message_id=message_id, reply=GONE)

    outbox.take_feedback([one])

    (entry,) = outbox.suppressions()
    assert entry.reason == "bounced: 550 5.1.1 no such user"
    assert entry.evidence == {
        "fate": "bounced",
        "source": "postmark",
        "event_id": one.event_id,
        "message_id": message_id,
        "at": 5.0,
        "words": "550 5.1.1 no such user",
    }


@pytest.mark.parametrize("ground", [BOUNCES, COMPLAINTS, SOFT_BOUNCES])
def test_each_ground_can_be_left_out(outbox: Outbox, ground: str) -> None:
    outbox.feedback_rules = FeedbackRules(
        frozenset(GROUNDS) - {ground}, soft_bounce_count=1
    )
    addresses = {BOUNCES: ADA, COMPLAINTS: BOB, SOFT_BOUNCES: CY}
    reported = zip(
        addresses.values(),
        (Fate.BOUNCED, Fate.COMPLAINED, Fate.SOFT_BOUNCED),
        strict=True,
    )
    message_id = delivered(outbox, *addresses.values())

    outbox.take_feedback(
        [
            report(fate, 1.0, message_id=message_id, address=address)
            for address, fate in reported
        ]
    )

    assert {address for address, *_ in barred(outbox)} == {*addresses.values()} - {
        addresses[ground]
    }


def test_a_persons_suppression_stays_as_it_is(outbox: Outbox) -> None:
    kept = outbox.suppress(ADA, reason="asked us to", source="person")
    message_id = put(outbox, ADA, BOB)

    taken = outbox.take_feedback([report(Fate.BOUNCED, 1.0, message_id=message_id)])

    assert taken.suppressed == ()
    assert [*outbox.suppressions()] == [kept]


def soft(
    outbox: Outbox, message_id: str, *days: float, fate: Fate = Fate.SOFT_BOUNCED
) -> None:
    """Ada's mail comes back for now, on each of these days."""
    outbox.take_feedback(
        [report(fate, one * DAY, message_id=message_id, reply=FULL) for one in days]
    )


@pytest.mark.parametrize(
    ("days", "deliveries", "suppressed"),
    [
        ((1, 2, 3, 4, 5), (), True),
        ((1, 2, 3, 4), (), False),
        ((1, 4, 7, 11, 15), (), True),
        ((1, 4, 7, 11, 15.1), (), False),
        ((1, 2, 3, 4, 5), (3.5,), False),
        ((1, 2, 3, 4, 5), (0.5, 5.5), True),
        ((1, 20, 21, 22, 23, 24), (), True),
        ((1, 2, 3, 4, 5, 6, 7, 8), (2.5,), True),
    ],
)
@pytest.mark.parametrize("first", ["deliveries", "bounces"])
def test_soft_bounces_suppress_once_they_are_enough(
    outbox: Outbox,
    days: tuple[float, ...],
    deliveries: tuple[float, ...],
    suppressed: bool,
    first: str,
) -> None:
    """Also if a delivery between them is only reported after them."""
    message_id = delivered(outbox)
    if first == "deliveries":
        soft(outbox, message_id, *deliveries, fate=Fate.DELIVERED)
    for day in days:
        soft(outbox, message_id, day)
        for one in [*outbox.suppressions()]:
            assert (one.address, one.list, one.source) == (ADA, "", "bounce")
            assert one.reason == "5 soft bounces within 14 days: 452 4.2.2 mailbox full"
            assert one.evidence is not None
            assert one.evidence["reports"] == 5
    if first == "bounces":
        soft(outbox, message_id, *deliveries, fate=Fate.DELIVERED)

    assert bool(barred(outbox)) == suppressed


def test_a_soft_bounce_that_is_our_own_fault_does_not_count(outbox: Outbox) -> None:
    message_id = delivered(outbox)
    soft(outbox, message_id, 1, 2, 3, 4)
    ours = report(Fate.SOFT_BOUNCED, 5 * DAY, message_id=message_id, operator=True)
    outbox.take_feedback([ours])

    assert barred(outbox) == []


# -------------------------------------------------------------------- and undone again


def test_what_was_reported_before_a_removal_does_not_bring_it_back(
    outbox: Outbox, clock: Clock
) -> None:
    message_id = delivered(outbox, tag="news")
    before = [
        report(fate, 1.0, message_id=message_id)
        for fate in (Fate.BOUNCED, Fate.COMPLAINED, Fate.UNSUBSCRIBED)
    ]
    unmatched = report(Fate.BOUNCED, clock.now, provider_id="pm-7")
    outbox.take_feedback([*before, unmatched])
    clock.advance(1)
    for name in ("", "news"):
        assert outbox.unsuppress(ADA, list=name)
    taken_by("postmark", outbox, {ADA: "pm-7"})
    clock.advance(60)

    assert takings(outbox.take_feedback(before)) == ["repeated"] * 3
    taken = outbox.match_feedback()

    assert takings(taken) == ["applied"]
    assert taken.suppressed == ()
    assert barred(outbox) == []


def test_what_is_reported_after_a_removal_suppresses_again(
    outbox: Outbox, clock: Clock
) -> None:
    message_id = delivered(outbox)
    soft(outbox, message_id, 1, 2, 3, 4, 5)
    clock.advance(1)
    assert outbox.unsuppress(ADA)
    clock.advance(1)

    soft(outbox, message_id, 6, 7, 8, 9)
    assert barred(outbox) == []
    soft(outbox, message_id, 10)
    assert barred(outbox) == [(ADA, "", "bounce")]

    clock.advance(1)
    assert outbox.unsuppress(ADA)
    clock.advance(1)
    outbox.take_feedback([report(Fate.BOUNCED, 1.0, message_id=message_id)])
    assert barred(outbox) == [(ADA, "", "bounce")]


# ------------------------------------------------------------------- and refused there


def refusal(outbox: Outbox, replies: dict[str, Reply]) -> list[Suppression]:
    """A message whose recipients the next hop refuses like this."""
    put(outbox, *replies)
    held = claim_one(outbox)
    answers = {one: (State.FAILED, reply) for one, reply in replies.items()}
    record = ended(held, outbox.clock(), State.FAILED, answers)
    suppressed = [*outbox.record([record]).suppressed]
    assert suppressed == [*outbox.suppressions()]
    return suppressed


@pytest.mark.parametrize(
    ("reply", "suppresses"),
    [
        (Reply(550, "5.1.1", "no such user"), True),
        (Reply(550, "5.1.6", "moved away"), True),
        (Reply(556, "5.1.10", "null MX"), True),
        (Reply(550, "5.1.2", "no such domain"), False),
        (Reply(550, "5.7.1", "not from you"), False),
        (Reply(550, None, "5.1.1 in some words"), False),
        (Reply(450, "4.1.1", "not now"), False),
        (Reply.observed("5.1.1"), False),
    ],
)
def test_a_refusal_that_says_that_there_is_no_such_address_suppresses(
    outbox: Outbox, reply: Reply, suppresses: bool
) -> None:
    found = refusal(outbox, {ADA: reply})

    assert [(one.address, one.source) for one in found] == (
        [(ADA, "refusal")] if suppresses else []
    )


def test_the_evidence_of_a_refusal_names_its_message(
    outbox: Outbox, clock: Clock
) -> None:
    (entry,) = refusal(outbox, {ADA: GONE, BOB: Reply(550, "5.7.1", "no")})

    assert entry.reason == "refused: 550 5.1.1 no such user"
    assert entry.evidence == {
        "fate": "refused",
        "message_id": outbox.list()[0].id,
        "at": clock.now,
        "words": "550 5.1.1 no such user",
    }


def test_a_reply_that_recipients_share_may_be_about_the_content(outbox: Outbox) -> None:
    assert refusal(outbox, {ADA: GONE, BOB: GONE}) == []


def test_a_refusal_of_the_address_that_mail_is_redirected_to_suppresses_nobody(
    outbox: Outbox,
) -> None:
    outbox.guard = Guard.read(None, "qa@example.com")

    assert refusal(outbox, {ADA: GONE}) == []


def test_a_refusal_that_is_not_recorded_suppresses_nobody(
    outbox: Outbox, clock: Clock
) -> None:
    put(outbox)
    held = claim_one(outbox)
    outbox.return_untried(COURIER, [held.id], "the test says so")

    assert outbox.record([failed(held, clock.now)]).lost == [held]
    assert barred(outbox) == []


def test_a_waiting_message_to_a_suppressed_address_is_not_sent(outbox: Outbox) -> None:
    message_id = delivered(outbox)
    waiting = put(outbox)

    outbox.take_feedback([report(Fate.COMPLAINED, 1.0, message_id=message_id)])

    assert claim_one(outbox).envelope.recipients == ()
    assert outbox.get(waiting).state is State.SUPPRESSED


# --------------------------------------------------------------------- what is foreign


EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
HOSTILE = "\x00\ud800\n" + "x" * 3_000


def test_whatever_is_said_can_be_stored(outbox: Outbox) -> None:
    """And is still told apart, and dropped if it is repeated."""
    message_id = delivered(outbox)
    reports = [
        Feedback(
            Fate.DELIVERED,
            HOSTILE,
            f"{HOSTILE}{number}",
            (EARLIEST, LATEST)[number % 2],
            address=HOSTILE if number == 1 else None,
            message_id=message_id if number < 2 else HOSTILE,
            provider_id=HOSTILE,
            rfc_message_id=HOSTILE,
            reply=Reply(999, HOSTILE, HOSTILE),
            detail={HOSTILE: [HOSTILE, 1, None, {"a": HOSTILE}], "url": HOSTILE},
        )
        for number in range(3)
    ]

    taken = outbox.take_feedback([*reports, reports[0]])

    assert takings(taken) == ["applied", "ignored", "unmatched", "repeated"]
    assert fates(outbox, message_id) == {ADA: Fate.DELIVERED}
    assert takings(outbox.take_feedback(reports)) == ["repeated"] * 3


def test_nothing_reported_is_nothing_taken(outbox: Outbox) -> None:
    assert statements(outbox, lambda: outbox.take_feedback([])) == 0


def test_old_reports_are_pruned(outbox: Outbox, clock: Clock) -> None:
    message_id = delivered(outbox)
    outbox.take_feedback([report(Fate.BOUNCED, 1.0, message_id=message_id)])
    clock.advance(1)
    outbox.unsuppress(ADA)
    clock.advance(60)
    young = delivered(outbox)
    outbox.take_feedback([report(Fate.BOUNCED, 1.0, message_id=young)])

    outbox.prune(30, 30)

    assert stored(outbox) == 1
    assert fates(outbox, young) == {ADA: Fate.BOUNCED}
    with outbox.database.reading() as connection:
        for table in ("provider_id", "pardon"):
            left = connection.exec_driver_sql(f"SELECT count(*) FROM outbox_{table}")
            assert left.scalar() == 0, table


# ------------------------------------------------------------------------------ asking


def test_messages_are_found_by_a_fate_of_any_recipient(outbox: Outbox) -> None:
    ids = [delivered(outbox, ADA, BOB, CY, tag=tag) for tag in ("news", None, "news")]
    delivered(outbox)
    outbox.take_feedback(
        [report(Fate.BOUNCED, 1.0, message_id=one, address=None) for one in ids]
    )

    def found(limit: int = 50, **wanted: Any) -> list[str]:
        page = outbox.search(Search(fate=Fate.BOUNCED, **wanted), limit)
        return [one.id for one in page.messages]

    assert found() == ids[::-1]
    assert found(limit=2) == [ids[2], ids[1]]
    assert found(tag="news") == [ids[2], ids[0]]
    assert found(address=BOB) == ids[::-1]
    assert found(address="dan@example.org") == []
    assert outbox.search(Search(fate=Fate.COMPLAINED)).messages == ()


def test_a_batch_counts_fates_and_its_failures_have_what_came_back(
    outbox: Outbox,
) -> None:
    store = BatchStore(outbox)
    batch = store.begin("news", None, None, None).id
    outbox.feedback_rules = FeedbackRules()
    fates_given = [Fate.BOUNCED, Fate.DELIVERED, Fate.COMPLAINED, None, Fate.BOUNCED]
    for row, fate in enumerate(fates_given, 1):
        message_id = delivered(outbox, batch=batch, batch_row=row)
        if fate:
            outbox.take_feedback([report(fate, 1.0, message_id=message_id, reply=GONE)])

    assert store.get(batch).fates == {
        Fate.BOUNCED: 2,
        Fate.DELIVERED: 1,
        Fate.COMPLAINED: 1,
    }
    failures = [*store.failures(batch)]
    assert [(one.row, one.outcome) for one in failures] == [
        (1, Fate.BOUNCED),
        (5, Fate.BOUNCED),
        (3, Fate.COMPLAINED),
    ]
    assert {one.reply for one in failures} == {str(GONE)}


# ------------------------------------------------------------------- one-time tokens


def test_a_token_is_good_for_one_request_and_its_repetitions(
    outbox: Outbox, clock: Clock
) -> None:
    id = delivered(outbox, ADA, BOB)
    first = report(Fate.BOUNCED, clock(), message_id=id)
    forged = report(Fate.BOUNCED, clock(), message_id=id, address=BOB)
    token = OneTimeToken("postmark", "a" * 50, "digest of the first")

    assert outbox.take_feedback([first], token).count(Taking.APPLIED) == 1
    with pytest.raises(EventsRefused) as refused:
        outbox.take_feedback([forged], replace(token, digest="of another"))
    assert refused.value.status == 406
    assert outbox.take_feedback([first], token).count(Taking.REPEATED) == 1

    fates = {one.address: one.fate for one in outbox.get(id).recipients}
    assert fates == {ADA: Fate.BOUNCED, BOB: None}


def test_a_token_of_a_request_that_says_nothing_is_used_too(outbox: Outbox) -> None:
    token = OneTimeToken("postmark", "b" * 500, "digest")
    outbox.take_feedback([], token)
    with pytest.raises(EventsRefused):
        outbox.take_feedback([], replace(token, digest="another"))
    outbox.take_feedback([], replace(token, source="mailgun", digest="another"))


def test_of_two_requests_with_a_token_at_once_one_is_taken(
    outbox: Outbox, other: Outbox, clock: Clock
) -> None:
    id = delivered(outbox, ADA, BOB)

    def take(receiver: Outbox, number: int, address: str) -> bool:
        token = OneTimeToken("postmark", f"token-{number}", address)
        what = report(Fate.DELIVERED, clock(), message_id=id, address=address)
        try:
            receiver.take_feedback([what], token)
        except EventsRefused:
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        for number in range(20):
            taken = threads.map(take, (outbox, other), [number] * 2, (ADA, BOB))
            assert sorted(taken) == [False, True]
