"""Actions of a person: `get`, `cancel`, `retry`, and when they are refused."""

from __future__ import annotations

import pytest

from flask_outbox import (
    ConfigError,
    MessageNotFound,
    Search,
    State,
    TransitionRefused,
    signals,
)
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, BOB, PUT_OFF_FOR_LONG, Site
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import WAIT_SECONDS

HOUR = 3_600
NOBODY = "00000000000000000000000000"


def _hang(site: Site, server: JournalSmtp):
    """Send a message, and return its receipt once the server sits on it."""
    server.behaviour = Behaviour(hang=True)
    receipt = site.send()
    site.wait_for(signals.message_began)
    return receipt


def test_get_returns_the_whole_record(site: Site):
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


@pytest.mark.parametrize("ask", ["get", "cancel", "retry"])
def test_an_unknown_id_is_an_error(site: Site, ask: str):
    with pytest.raises(MessageNotFound, match=NOBODY):
        getattr(site.mail, ask)(NOBODY)


# --------------------------------------------------------- search, content, status


def test_search_finds_what_meets_the_criteria(site: Site):
    welcome, bill = site.send(tag="welcome"), site.send(BOB, tag="bill")
    found = site.mail.search(Search(tag="bill"))
    assert [one.id for one in found.messages] == [bill.id]
    assert found.messages[0].recipients == (BOB,)
    newest, rest = site.mail.search(limit=1), site.mail.search(before=bill.id)
    assert [one.id for one in newest.messages] == [bill.id]
    assert [one.id for one in rest.messages] == [welcome.id]


def test_content_returns_the_bytes_that_were_sent(site: Site, server: JournalSmtp):
    receipt = site.send()
    site.settled(receipt)
    assert site.mail.content(receipt.id) == server.mails[0].content


def test_status_counts_what_the_outbox_holds(site: Site):
    site.settled(site.send())
    site.send(delay=HOUR)
    status = site.mail.status()
    assert (status.counts[State.SENT], status.counts[State.PENDING]) == (1, 1)
    assert (status.due, len(status.couriers)) == (0, 1)


# ------------------------------------------------------------------ pause, resume


def test_nothing_leaves_by_a_paused_transport(site: Site, server: JournalSmtp):
    site.mail.pause("default", reason="the list is wrong")
    receipt = site.send(delay=0.01)
    (lane,) = site.mail.status().lanes
    assert (lane.name, lane.paused_by, lane.reason) == (
        "default",
        "person",
        "the list is wrong",
    )
    assert site.mail.get(receipt.id).state is State.PENDING
    site.mail.resume("default")
    site.settled(receipt)
    assert site.mail.status().lanes == ()


@pytest.mark.parametrize("change", ["pause", "resume"])
def test_an_unknown_transport_is_refused(site: Site, change: str):
    with pytest.raises(
        ConfigError, match=r"no transport 'bulk': this app has 'default'"
    ):
        getattr(site.mail, change)("bulk")


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
    assert [mail.rfc_message_id for mail in server.mails] == [later.rfc_message_id]


def test_a_sent_message_cannot_be_cancelled(site: Site):
    receipt = site.send()
    site.settled(receipt)
    with pytest.raises(TransitionRefused, match=f"{receipt.id} is sent: .*nothing to"):
        site.mail.cancel(receipt.id)
    assert site.get(receipt).state is State.SENT


def test_a_cancelled_message_cannot_be_cancelled(site: Site):
    receipt = site.send(delay=HOUR)
    site.mail.cancel(receipt.id)
    with pytest.raises(TransitionRefused, match="is cancelled: there is nothing"):
        site.mail.cancel(receipt.id)


def test_a_message_in_delivery_can_be_neither_cancelled_nor_retried(
    site: Site, server: JournalSmtp
):
    receipt = _hang(site, server)
    with pytest.raises(
        TransitionRefused, match="is being delivered right now and cannot"
    ):
        site.mail.cancel(receipt.id)
    with pytest.raises(TransitionRefused, match="is being delivered right now"):
        site.mail.retry(receipt.id)
    server.behaviour = Behaviour()
    assert site.settled(receipt).state is State.SENT


def test_a_deferred_message_can_be_cancelled(make_site: MakeSite, server: JournalSmtp):
    server.behaviour = Behaviour(at_data="451 4.3.0 later")
    site = make_site(**PUT_OFF_FOR_LONG)
    receipt = site.send()
    site.wait_for(signals.message_deferred)
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
    server.behaviour = Behaviour(at_rcpt="550 5.7.1 not from you")
    receipt = site.send()
    assert site.settled(receipt).state is State.FAILED
    server.behaviour = Behaviour()
    site.mail.retry(receipt.id)
    site.wait_for(signals.message_sent)
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
    assert server.wait_for(1)[0].rfc_message_id == receipt.rfc_message_id


def test_a_retry_is_for_recipients_who_did_not_get_the_message(
    site: Site, server: JournalSmtp
):
    server.behaviour = Behaviour(recipients={BOB: "550 5.7.1 not from you"})
    receipt = site.send(ADA, BOB)
    assert site.settled(receipt).state is State.FAILED
    server.behaviour = Behaviour()
    site.mail.retry(receipt.id)
    site.wait_for(signals.message_sent)
    assert [mail.recipients for mail in server.mails] == [(ADA,), (BOB,)]
    assert site.get(receipt).state is State.SENT


def test_a_cancelled_message_is_retried(site: Site, server: JournalSmtp):
    receipt = site.send(delay=HOUR)
    site.mail.cancel(receipt.id)
    site.mail.retry(receipt.id)
    assert site.wait_for(signals.message_sent)[0]["message_id"] == receipt.id
    server.wait_for(1)


def test_a_message_that_everyone_got_is_not_retried(site: Site, server: JournalSmtp):
    receipt = site.send()
    site.settled(receipt)
    with pytest.raises(
        TransitionRefused, match="sent to every recipient: there is nothing"
    ):
        site.mail.retry(receipt.id)
    assert site.mail.drain(WAIT_SECONDS)
    assert len(server.mails) == 1


def test_a_pruned_message_is_not_retried(make_site: MakeSite, server: JournalSmtp):
    site = make_site(OUTBOX_KEEP_BODIES=0.001)
    server.behaviour = Behaviour(at_data="550 5.7.1 no")
    receipt = site.send()
    site.settled(receipt)
    site.outbox.prune(0, HOUR)
    with pytest.raises(TransitionRefused, match=r"was pruned .*OUTBOX_KEEP_BODIES"):
        site.mail.retry(receipt.id)
