"""From the server's reply to the state of the message, end to end."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flask_outbox import State, signals
from flask_outbox.history import describe
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, BOB, PUT_OFF_FOR_LONG, Site
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import WAIT_SECONDS

LATER = "451 4.3.0 try later"
NOBODY = "550 5.1.1 no such user"


def _kinds(site: Site, receipt) -> list[str]:
    return [one.kind for one in site.get(receipt).events]


# ------------------------------------------------------------------------- 4xx


@pytest.mark.parametrize(
    "behaviour",
    [Behaviour(at_mail=LATER), Behaviour(at_rcpt=LATER), Behaviour(at_data=LATER)],
)
def test_a_deferred_message_is_sent_later(
    site: Site, server: JournalSmtp, behaviour: Behaviour
):
    server.behaviour = behaviour
    receipt = site.send()
    site.wait_for(signals.message_deferred)
    server.behaviour = Behaviour()
    site.wait_for(signals.message_sent)
    record = site.get(receipt)
    numbers = [one.number for one in record.attempts]
    assert numbers == list(range(1, len(numbers) + 1))
    assert [one.outcome for one in record.attempts][-2:] == ["deferred", "sent"]
    assert [mail.rfc_message_id for mail in server.mails] == [receipt.rfc_message_id]


def test_a_message_deferred_once_is_sent_on_the_second_attempt(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(**PUT_OFF_FOR_LONG)
    server.behaviour = Behaviour(at_data=LATER)
    receipt = site.send()
    (deferred,) = site.wait_for(signals.message_deferred)
    assert site.get(receipt).state is State.PENDING
    assert deferred["due_at"] > site.get(receipt).enqueued_at.timestamp()
    server.behaviour = Behaviour()
    site.mail.retry(receipt.id)
    (sent,) = site.wait_for(signals.message_sent)
    assert sent["attempt"] == 2
    assert _kinds(site, receipt) == [
        "enqueued",
        "began",
        "deferred",
        "retried",
        "began",
        "sent",
    ]


def test_only_deferred_recipients_are_tried_again(site: Site, server: JournalSmtp):
    server.behaviour = Behaviour(recipients={BOB: LATER})
    receipt = site.send(ADA, BOB)
    site.wait_for(signals.message_deferred)
    states = {one.address: one.state for one in site.get(receipt).recipients}
    assert states == {ADA: State.SENT, BOB: State.PENDING}
    server.behaviour = Behaviour()
    site.wait_for(signals.message_sent)
    assert [mail.recipients for mail in server.mails] == [(ADA,), (BOB,)]
    assert {mail.rfc_message_id for mail in server.mails} == {receipt.rfc_message_id}
    assert server.mails[0].content == server.mails[1].content
    record = site.get(receipt)
    assert record.state is State.SENT
    assert {one.state for one in record.recipients} == {State.SENT}


def test_a_message_deferred_for_too_long_is_given_up(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(OUTBOX_GIVE_UP_AFTER=3)
    site.make_ready()
    server.behaviour = Behaviour(at_data=LATER)
    receipt = site.send()
    (failed,) = site.wait_for(signals.message_failed)
    record = site.get(receipt)
    assert record.state is State.FAILED
    assert len(record.attempts) > 1
    last = record.attempts[-1].ended_at
    assert last is not None
    assert last >= record.enqueued_at + timedelta(seconds=3)
    assert "OUTBOX_GIVE_UP_AFTER" in failed["reason"]
    assert str(record.recipients[0].reply) == LATER
    assert describe(record)[-1].what.startswith("Failed:")
    assert server.mails == []


def test_the_last_attempt_is_at_the_end_of_the_retry_window(
    make_site: MakeSite, server: JournalSmtp
):
    """However long the next wait would be."""
    site = make_site(OUTBOX_GIVE_UP_AFTER=3_600, **PUT_OFF_FOR_LONG)
    site.make_ready()
    server.behaviour = Behaviour(at_data=LATER)
    receipt = site.send()
    site.wait_for(signals.message_deferred)
    record = site.get(receipt)
    assert record.due_at == record.enqueued_at + timedelta(hours=1)


def test_only_deferred_recipients_are_given_up(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(OUTBOX_GIVE_UP_AFTER=0.2)
    server.behaviour = Behaviour(recipients={BOB: LATER})
    receipt = site.send(ADA, BOB)
    site.wait_for(signals.message_failed)
    states = {one.address: one.state for one in site.get(receipt).recipients}
    assert states == {ADA: State.SENT, BOB: State.FAILED}
    assert [mail.recipients for mail in server.mails] == [(ADA,)]


# ------------------------------------------------------------------------- 5xx


@pytest.mark.parametrize(
    "behaviour",
    [Behaviour(at_mail=NOBODY), Behaviour(at_rcpt=NOBODY), Behaviour(at_data=NOBODY)],
)
def test_a_permanent_refusal_fails_at_once(
    site: Site, server: JournalSmtp, behaviour: Behaviour
):
    server.behaviour = behaviour
    receipt = site.send()
    record = site.settled(receipt)
    assert record.state is State.FAILED
    assert str(record.recipients[0].reply) == NOBODY
    assert [one.outcome for one in record.attempts] == ["failed"]
    assert site.mail.drain(WAIT_SECONDS)
    assert server.mails == []


def test_a_message_refused_for_one_is_sent_once_to_the_other(
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
    assert server.mails[1].rfc_message_id == later.rfc_message_id


def test_each_recipient_has_a_state_of_its_own(site: Site, server: JournalSmtp):
    eve = "eve@example.org"
    server.behaviour = Behaviour(recipients={BOB: NOBODY, eve: LATER})
    receipt = site.send(ADA, BOB, eve)
    site.wait_for(signals.message_deferred)
    server.behaviour = Behaviour(recipients={BOB: NOBODY})
    record = site.settled(receipt)
    assert record.state is State.FAILED
    assert {one.address: one.state for one in record.recipients} == {
        ADA: State.SENT,
        BOB: State.FAILED,
        eve: State.SENT,
    }
    assert [mail.recipients for mail in server.mails] == [(ADA,), (eve,)]


def test_one_refused_message_delays_no_other(make_site: MakeSite, server: JournalSmtp):
    site = make_site(OUTBOX_CONCURRENCY=1, OUTBOX_AUTO_SUPPRESS=False)
    server.behaviour = Behaviour(recipients={BOB: NOBODY})
    receipts = [site.send(BOB), site.send(ADA), site.send(BOB), site.send(ADA)]
    states = [site.settled(one).state for one in receipts]
    assert states == [State.FAILED, State.SENT, State.FAILED, State.SENT]


# --------------------------------------------------------- a link lost after the dot


@pytest.mark.parametrize("drop", ["journaled", "unjournaled"])
def test_a_lost_connection_is_unknown_then_resent_once(
    make_site: MakeSite, server: JournalSmtp, drop: str
):
    site = make_site(OUTBOX_LEASE_SECONDS=2)
    server.behaviour = Behaviour(drop=drop)
    receipt = site.send()
    (unknown,) = site.wait_for(signals.message_unknown)
    server.behaviour = Behaviour()
    assert site.get(receipt).state in (State.UNKNOWN, State.PENDING, State.SENT)
    assert "after the final dot" in unknown["replies"][ADA]
    site.wait_for(signals.message_sent)
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
    assert {mail.rfc_message_id for mail in arrived} == {receipt.rfc_message_id}
    assert len({mail.content for mail in arrived}) == 1


def test_a_lost_connection_waits_before_it_is_resent(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(OUTBOX_LEASE_SECONDS=0.4, OUTBOX_UNKNOWN_WAIT_SECONDS=3_600)
    server.behaviour = Behaviour(drop="unjournaled")
    receipt = site.send()
    (unknown,) = site.wait_for(signals.message_unknown)
    record = site.get(receipt)
    assert record.state is State.UNKNOWN
    assert record.due_at.timestamp() == pytest.approx(unknown["due_at"])
    lost_at = record.attempts[0].ended_at
    assert lost_at is not None
    assert (record.due_at - lost_at).total_seconds() == pytest.approx(3_600, abs=1)
    assert site.mail.drain(WAIT_SECONDS)


def test_a_connection_that_is_always_lost_ends_in_a_hold(
    make_site: MakeSite, server: JournalSmtp
):
    """Who got such a mail got another copy every five minutes, without end."""
    site = make_site(OUTBOX_GIVE_UP_AFTER=0.5, OUTBOX_LEASE_SECONDS=0.4)
    server.behaviour = Behaviour(drop="journaled")
    receipt = site.send()
    site.wait_until(
        lambda: (
            site.told(signals.message_unknown)[-1:]
            and site.told(signals.message_unknown)[-1]["due_at"] is None
        ),
        "it is not to be resent",
    )
    record = site.get(receipt)
    assert record.state is State.UNKNOWN
    assert describe(record)[-1].background == "on hold for a person"
    server.behaviour = Behaviour()
    copies = len(server.mails)
    site.settled(site.send(delay=0.5))  # longer than it takes to sweep, several times
    assert len(server.mails) == copies + 1
    site.mail.release(receipt.id)
    site.wait_for(signals.message_sent, times=2)


def test_a_lost_connection_is_held_for_a_person(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(OUTBOX_ON_UNKNOWN="hold", OUTBOX_LEASE_SECONDS=0.4)
    server.behaviour = Behaviour(drop="journaled")
    receipt = site.send()
    record = site.settled(receipt)
    assert record.state is State.UNKNOWN
    assert record.recipients[0].state is State.UNKNOWN
    assert describe(record)[-1].background == "on hold for a person"
    server.behaviour = Behaviour()
    later = site.send(delay=0.5)  # longer than it takes to sweep, several times
    site.settled(later)
    assert [mail.rfc_message_id for mail in server.mails] == [
        receipt.rfc_message_id,
        later.rfc_message_id,
    ]
    site.mail.retry(receipt.id)
    site.wait_for(signals.message_sent, times=2)
    assert site.get(receipt).state is State.SENT
    assert server.mails[-1].rfc_message_id == receipt.rfc_message_id


def test_a_message_on_hold_can_be_cancelled(make_site: MakeSite, server: JournalSmtp):
    site = make_site(OUTBOX_ON_UNKNOWN="hold")
    server.behaviour = Behaviour(drop="journaled")
    receipt = site.send()
    site.settled(receipt)
    record = site.mail.cancel(receipt.id)
    assert record.state is State.CANCELLED
    assert record.recipients[0].state is State.CANCELLED
