"""What becomes of a message by what the server replied, end to end."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flask_outbox import State, events
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, BOB, Site
from tests.servers import Behaviour, JournalSmtp

LATER = "451 4.3.0 try later"
NOBODY = "550 5.1.1 no such user"


def _kinds(site: Site, receipt) -> list[str]:
    return [one.kind for one in site.get(receipt).events]


# ------------------------------------------------------------------------- 4xx


@pytest.mark.parametrize(
    "behaviour",
    [Behaviour(at_mail=LATER), Behaviour(at_rcpt=LATER), Behaviour(at_data=LATER)],
)
def test_put_off_then_well_is_sent(
    site: Site, server: JournalSmtp, behaviour: Behaviour
):
    server.behaviour = behaviour
    receipt = site.send()
    site.wait_for(events.message_deferred)
    server.behaviour = Behaviour()
    site.wait_for(events.message_sent)
    record = site.get(receipt)
    numbers = [one.number for one in record.attempts]
    assert numbers == list(range(1, len(numbers) + 1))
    assert [one.outcome for one in record.attempts][-2:] == ["deferred", "sent"]
    assert [mail.message_id for mail in server.mails] == [receipt.message_id]


def test_put_off_once_is_sent_on_the_second_attempt(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(
        OUTBOX_BACKOFF_BASE_SECONDS=3_600, OUTBOX_BACKOFF_CAP_SECONDS=3_600
    )
    server.behaviour = Behaviour(at_data=LATER)
    receipt = site.send()
    (deferred,) = site.wait_for(events.message_deferred)
    assert site.get(receipt).state is State.PENDING
    assert deferred["due_at"] > site.get(receipt).enqueued_at.timestamp()
    server.behaviour = Behaviour()
    site.mail.retry(receipt.id)
    (sent,) = site.wait_for(events.message_sent)
    assert sent["attempt"] == 2
    assert _kinds(site, receipt) == [
        "enqueued",
        "began",
        "deferred",
        "retried",
        "began",
        "sent",
    ]


def test_only_who_was_put_off_is_tried_again(site: Site, server: JournalSmtp):
    server.behaviour = Behaviour(recipients={BOB: LATER})
    receipt = site.send(ADA, BOB)
    site.wait_for(events.message_deferred)
    states = {one.address: one.state for one in site.get(receipt).recipients}
    assert states == {ADA: State.SENT, BOB: State.PENDING}
    server.behaviour = Behaviour()
    site.wait_for(events.message_sent)
    assert [mail.recipients for mail in server.mails] == [(ADA,), (BOB,)]
    assert {mail.message_id for mail in server.mails} == {receipt.message_id}
    assert server.mails[0].content == server.mails[1].content
    record = site.get(receipt)
    assert record.state is State.SENT
    assert {one.state for one in record.recipients} == {State.SENT}


def test_a_message_that_is_put_off_for_too_long_is_given_up(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(OUTBOX_GIVE_UP_AFTER=0.6)
    site.make_ready()
    server.behaviour = Behaviour(at_data=LATER)
    receipt = site.send()
    (failed,) = site.wait_for(events.message_failed)
    record = site.get(receipt)
    assert record.state is State.FAILED
    assert len(record.attempts) > 1
    last = record.attempts[-1].ended_at
    assert last is not None
    assert last >= record.enqueued_at + timedelta(seconds=0.6)
    assert "OUTBOX_GIVE_UP_AFTER" in failed["reason"]
    assert str(record.recipients[0].reply) == LATER
    assert record.events[-1].what.startswith("Given up:")
    assert server.mails == []


def test_the_last_attempt_is_when_patience_ends(
    make_site: MakeSite, server: JournalSmtp
):
    """However long the next wait would be."""
    site = make_site(
        OUTBOX_GIVE_UP_AFTER=0.6,
        OUTBOX_BACKOFF_BASE_SECONDS=360_000,
        OUTBOX_BACKOFF_CAP_SECONDS=360_000,
    )
    site.make_ready()
    server.behaviour = Behaviour(at_data=LATER)
    receipt = site.send()
    site.wait_for(events.message_failed)
    assert [one.outcome for one in site.get(receipt).attempts] == ["deferred", "failed"]


def test_giving_up_is_for_those_who_were_put_off(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(OUTBOX_GIVE_UP_AFTER=0.2)
    server.behaviour = Behaviour(recipients={BOB: LATER})
    receipt = site.send(ADA, BOB)
    site.wait_for(events.message_failed)
    states = {one.address: one.state for one in site.get(receipt).recipients}
    assert states == {ADA: State.SENT, BOB: State.FAILED}
    assert [mail.recipients for mail in server.mails] == [(ADA,)]


# ------------------------------------------------------------------------- 5xx


@pytest.mark.parametrize(
    "behaviour",
    [Behaviour(at_mail=NOBODY), Behaviour(at_rcpt=NOBODY), Behaviour(at_data=NOBODY)],
)
def test_refused_for_good_is_failed_at_once(
    site: Site, server: JournalSmtp, behaviour: Behaviour
):
    server.behaviour = behaviour
    receipt = site.send()
    record = site.settled(receipt)
    assert record.state is State.FAILED
    assert str(record.recipients[0].reply) == NOBODY
    assert [one.outcome for one in record.attempts] == ["failed"]
    assert site.mail.drain(10)
    assert server.mails == []


def test_refused_for_one_is_sent_to_the_other_and_not_again(
    site: Site, server: JournalSmtp
):
    server.behaviour = Behaviour(recipients={BOB: NOBODY})
    receipt = site.send(ADA, BOB)
    record = site.settled(receipt)
    assert record.state is State.FAILED
    assert {one.address: (one.state, str(one.reply)) for one in record.recipients} == {
        ADA: (State.SENT, "250 2.0.0 journaled as 1"),
        BOB: (State.FAILED, NOBODY),
    }
    assert len(record.attempts) == 1
    server.behaviour = Behaviour()
    later = site.send()
    site.settled(later)
    assert [mail.recipients for mail in server.mails] == [(ADA,), (ADA,)]
    assert server.mails[1].message_id == later.message_id


def test_each_recipient_goes_its_own_way(site: Site, server: JournalSmtp):
    eve = "eve@example.org"
    server.behaviour = Behaviour(recipients={BOB: NOBODY, eve: LATER})
    receipt = site.send(ADA, BOB, eve)
    site.wait_for(events.message_deferred)
    server.behaviour = Behaviour(recipients={BOB: NOBODY})
    record = site.settled(receipt)
    assert record.state is State.FAILED
    assert {one.address: one.state for one in record.recipients} == {
        ADA: State.SENT,
        BOB: State.FAILED,
        eve: State.SENT,
    }
    assert [mail.recipients for mail in server.mails] == [(ADA,), (eve,)]


def test_one_refused_message_holds_nobody_up(make_site: MakeSite, server: JournalSmtp):
    site = make_site(OUTBOX_CONCURRENCY=1)
    server.behaviour = Behaviour(recipients={BOB: NOBODY})
    receipts = [site.send(BOB), site.send(ADA), site.send(BOB), site.send(ADA)]
    states = [site.settled(one).state for one in receipts]
    assert states == [State.FAILED, State.SENT, State.FAILED, State.SENT]


# --------------------------------------------------------- a link lost after the dot


@pytest.mark.parametrize("drop", ["journaled", "unjournaled"])
def test_a_lost_link_is_unknown_then_resent_once(
    make_site: MakeSite, server: JournalSmtp, drop: str
):
    site = make_site(OUTBOX_LEASE_SECONDS=2)
    server.behaviour = Behaviour(drop=drop)
    receipt = site.send()
    (unknown,) = site.wait_for(events.message_unknown)
    server.behaviour = Behaviour()
    assert site.get(receipt).state in (State.UNKNOWN, State.PENDING, State.SENT)
    assert "after the final dot" in unknown["replies"][ADA]
    site.wait_for(events.message_sent)
    record = site.get(receipt)
    assert record.state is State.SENT
    assert _kinds(site, receipt) == [
        "enqueued",
        "began",
        "unknown",
        "resent",
        "began",
        "sent",
    ]
    arrived = server.mails
    assert len(arrived) == (2 if drop == "journaled" else 1)
    assert {mail.message_id for mail in arrived} == {receipt.message_id}
    assert len({mail.content for mail in arrived}) == 1


def test_a_lost_link_waits_before_it_is_resent(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(OUTBOX_LEASE_SECONDS=0.4, OUTBOX_UNKNOWN_WAIT_SECONDS=3_600)
    server.behaviour = Behaviour(drop="unjournaled")
    receipt = site.send()
    (unknown,) = site.wait_for(events.message_unknown)
    record = site.get(receipt)
    assert record.state is State.UNKNOWN
    assert record.due_at.timestamp() == pytest.approx(unknown["due_at"])
    lost_at = record.attempts[0].ended_at
    assert lost_at is not None
    assert (record.due_at - lost_at).total_seconds() == pytest.approx(3_600, abs=1)
    assert site.mail.drain(10)


def test_a_lost_link_is_held_for_a_person(make_site: MakeSite, server: JournalSmtp):
    site = make_site(OUTBOX_ON_UNKNOWN="hold", OUTBOX_LEASE_SECONDS=0.4)
    server.behaviour = Behaviour(drop="journaled")
    receipt = site.send()
    record = site.settled(receipt)
    assert record.state is State.UNKNOWN
    assert record.recipients[0].state is State.UNKNOWN
    assert record.events[-1].background == "on hold for a person"
    server.behaviour = Behaviour()
    later = site.send(delay=0.5)  # longer than it takes to sweep, several times
    site.settled(later)
    assert [mail.message_id for mail in server.mails] == [
        receipt.message_id,
        later.message_id,
    ]
    site.mail.retry(receipt.id)
    site.wait_for(events.message_sent, times=2)
    assert site.get(receipt).state is State.SENT
    assert server.mails[-1].message_id == receipt.message_id


def test_what_is_held_can_be_cancelled(make_site: MakeSite, server: JournalSmtp):
    site = make_site(OUTBOX_ON_UNKNOWN="hold")
    server.behaviour = Behaviour(drop="journaled")
    receipt = site.send()
    site.settled(receipt)
    record = site.mail.cancel(receipt.id)
    assert record.state is State.CANCELLED
    assert record.recipients[0].state is State.CANCELLED
