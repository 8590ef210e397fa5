"""What a person may do: `get`, `cancel`, `retry`, and when it is refused."""

from __future__ import annotations

import pytest

from flask_outbox import MessageNotFound, State, TransitionRefused, events
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, BOB, Site
from tests.servers import Behaviour, JournalSmtp

HOUR = 3_600
NOBODY = "00000000000000000000000000"


def _hang(site: Site, server: JournalSmtp):
    """Send a message, and return its receipt once the server sits on it."""
    server.behaviour = Behaviour(hang=True)
    receipt = site.send()
    site.wait_for(events.message_began)
    return receipt


def test_get_tells_all_of_a_message(site: Site):
    receipt = site.send(ADA, BOB, tag="welcome", metadata={"order": 17}, key="17")
    record = site.settled(receipt)
    assert (record.id, record.state, record.subject) == (
        receipt.id,
        State.SENT,
        "Hello",
    )
    assert (record.tag, record.metadata, record.key) == ("welcome", {"order": 17}, "17")
    assert [(one.address, one.state) for one in record.recipients] == [
        (ADA, State.SENT),
        (BOB, State.SENT),
    ]
    assert {str(one.reply) for one in record.recipients} == {"250 2.0.0 journaled as 1"}
    (attempt,) = record.attempts
    assert (attempt.number, attempt.outcome) == (1, "sent")
    assert attempt.ended_at
    assert record.enqueued_at <= attempt.began_at <= attempt.ended_at
    assert [one.kind for one in record.events] == ["enqueued", "began", "sent"]
    assert [one.step for one in record.events] == [1, 2, 3]


@pytest.mark.parametrize("ask", ["get", "cancel", "retry"])
def test_no_message_has_that_id(site: Site, ask: str):
    with pytest.raises(MessageNotFound, match=NOBODY):
        getattr(site.mail, ask)(NOBODY)


# -------------------------------------------------------------------------- cancel


def test_a_waiting_message_is_cancelled_and_never_leaves(
    site: Site, server: JournalSmtp
):
    site.make_ready()
    receipt = site.send(ADA, BOB, delay=0.6)
    record = site.mail.cancel(receipt.id)
    assert record.state is State.CANCELLED
    assert {one.state for one in record.recipients} == {State.CANCELLED}
    assert [one.kind for one in record.events] == ["enqueued", "cancelled"]
    later = site.send(delay=0.7)
    site.settled(later)
    assert [mail.message_id for mail in server.mails] == [later.message_id]


def test_what_was_sent_cannot_be_cancelled(site: Site):
    receipt = site.send()
    site.settled(receipt)
    with pytest.raises(TransitionRefused, match=f"{receipt.id} is sent: .*nothing to"):
        site.mail.cancel(receipt.id)
    assert site.get(receipt).state is State.SENT


def test_what_was_cancelled_cannot_be_cancelled(site: Site):
    receipt = site.send(delay=HOUR)
    site.mail.cancel(receipt.id)
    with pytest.raises(TransitionRefused, match="is cancelled: there is nothing"):
        site.mail.cancel(receipt.id)


def test_what_is_being_delivered_can_be_neither_cancelled_nor_retried(
    site: Site, server: JournalSmtp
):
    receipt = _hang(site, server)
    with pytest.raises(TransitionRefused, match="is being delivered at this moment"):
        site.mail.cancel(receipt.id)
    with pytest.raises(TransitionRefused, match="is being delivered right now"):
        site.mail.retry(receipt.id)
    server.behaviour = Behaviour()
    assert site.settled(receipt).state is State.SENT


def test_a_message_that_is_put_off_can_be_cancelled(
    make_site: MakeSite, server: JournalSmtp
):
    server.behaviour = Behaviour(at_data="451 4.3.0 later")
    site = make_site(OUTBOX_BACKOFF_BASE_SECONDS=HOUR, OUTBOX_BACKOFF_CAP_SECONDS=HOUR)
    receipt = site.send()
    site.wait_for(events.message_deferred)
    record = site.mail.cancel(receipt.id)
    assert record.state is State.CANCELLED
    assert str(record.recipients[0].reply) == "451 4.3.0 later"


# --------------------------------------------------------------------------- retry


def test_a_delayed_message_is_retried_now(site: Site, server: JournalSmtp):
    receipt = site.send(delay=HOUR)
    assert site.mail.retry(receipt.id).id == receipt.id
    assert site.settled(receipt).state is State.SENT
    server.wait_for(1)


def test_a_failed_message_is_retried(site: Site, server: JournalSmtp):
    server.behaviour = Behaviour(at_rcpt="550 5.1.1 no such user")
    receipt = site.send()
    assert site.settled(receipt).state is State.FAILED
    server.behaviour = Behaviour()
    site.mail.retry(receipt.id)
    site.wait_for(events.message_sent)
    record = site.get(receipt)
    assert record.state is State.SENT
    assert [one.kind for one in record.events] == [
        "enqueued",
        "began",
        "failed",
        "retried",
        "began",
        "sent",
    ]
    assert [one.outcome for one in record.attempts] == ["failed", "sent"]
    assert server.wait_for(1)[0].message_id == receipt.message_id


def test_a_retry_is_for_those_who_have_not_got_it(site: Site, server: JournalSmtp):
    server.behaviour = Behaviour(recipients={BOB: "550 5.1.1 no such user"})
    receipt = site.send(ADA, BOB)
    assert site.settled(receipt).state is State.FAILED
    server.behaviour = Behaviour()
    site.mail.retry(receipt.id)
    site.wait_for(events.message_sent)
    assert [mail.recipients for mail in server.mails] == [(ADA,), (BOB,)]
    assert site.get(receipt).state is State.SENT


def test_a_cancelled_message_is_retried(site: Site, server: JournalSmtp):
    receipt = site.send(delay=HOUR)
    site.mail.cancel(receipt.id)
    site.mail.retry(receipt.id)
    assert site.wait_for(events.message_sent)[0]["message_id"] == receipt.id
    server.wait_for(1)


def test_what_everyone_has_got_is_not_retried(site: Site, server: JournalSmtp):
    receipt = site.send()
    site.settled(receipt)
    with pytest.raises(TransitionRefused, match="sent to everyone: there is nobody to"):
        site.mail.retry(receipt.id)
    assert site.mail.drain(10)
    assert len(server.mails) == 1


def test_what_was_pruned_is_not_retried(make_site: MakeSite, server: JournalSmtp):
    site = make_site(OUTBOX_KEEP_BODIES=0.001)
    server.behaviour = Behaviour(at_data="550 5.7.1 no")
    receipt = site.send()
    site.settled(receipt)
    site.outbox.prune(0, HOUR)
    with pytest.raises(TransitionRefused, match=r"was pruned .*OUTBOX_KEEP_BODIES"):
        site.mail.retry(receipt.id)
