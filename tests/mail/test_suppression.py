"""`suppress`: applied at hand-over, at each attempt, and by `send_now`."""

from __future__ import annotations

import pytest

from flask_outbox import (
    AddressError,
    DeliveryError,
    Message,
    MessageRecord,
    Outcome,
    State,
    TransitionRefused,
    signals,
)
from flask_outbox.history import describe
from tests.mail.conftest import MakeSite
from tests.mail.shop import engine_on
from tests.mail.site import ADA, BOB, Site
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import WAIT_SECONDS

CY = "cy@example.org"
HOUR = 3_600
WHY = "on the suppression list since "


def _states(record: MessageRecord) -> dict[str, State]:
    return {one.address: one.state for one in record.recipients}


def test_suppressions_are_added_listed_and_removed(site: Site):
    kept = site.mail.suppress("Ada <ADA@example.org>", reason="asked us to")
    site.mail.suppress(BOB, list="news")

    assert (kept.address, kept.list, kept.source) == (ADA, "", "api")
    assert [*site.mail.suppressions()] == [kept, *site.mail.suppressions("news")]
    assert site.mail.unsuppress(ADA)
    assert not site.mail.unsuppress(ADA)
    with pytest.raises(AddressError, match="address: 'ada' has no '@'"):
        site.mail.suppress("ada")


# ---------------------------------------------------------------------- at hand-over


def test_a_message_to_suppressed_recipients_only_is_not_sent(
    site: Site, server: JournalSmtp
):
    site.send(CY)
    site.wait_for(signals.message_sent)
    site.mail.suppress(ADA, reason="asked us to")

    with site.mail.record_messages() as recorded:
        receipt = site.send(ADA)
        other = site.send(BOB)

    assert receipt.suppressed.keys() == {ADA}
    assert receipt.suppressed[ADA].startswith(WHY)
    assert receipt.suppressed[ADA].endswith(": asked us to")
    record = site.get(receipt)
    assert record.state is State.SUPPRESSED
    told = describe(record)[-1]
    assert told.what == f"Suppressed: {ADA} must not be mailed"
    assert (told.background, told.output) == ("finished", receipt.suppressed[ADA])
    assert len(recorded) == 1
    site.settled(other)
    assert [mail.recipients for mail in server.mails] == [(CY,), (BOB,)]
    assert site.told(signals.message_suppressed) == [
        {"message_id": receipt.id, "replies": receipt.suppressed, "finished": True}
    ]


def test_a_suppressed_message_takes_no_place(make_site: MakeSite, server: JournalSmtp):
    site = make_site(OUTBOX_CONCURRENCY=1, OUTBOX_POLL_SECONDS=HOUR)
    site.send(CY)
    site.wait_for(signals.message_sent)
    site.mail.suppress(ADA)
    site.send(ADA)

    receipt = site.send(BOB)

    assert site.settled(receipt).state is State.SENT


def test_the_other_recipients_get_the_message_at_once(site: Site, server: JournalSmtp):
    site.send(CY)
    site.wait_for(signals.message_sent)
    site.mail.suppress(BOB)

    message = Message("Hello", [ADA], "Hello\n", cc=[BOB], bcc=[CY])
    receipt = site.mail.send(message)

    record = site.settled(receipt)
    assert describe(record)[0].background == "started: a courier has it"
    assert receipt.suppressed.keys() == {BOB}
    assert record.state is State.SENT
    assert _states(record) == {
        ADA: State.SENT,
        BOB: State.SUPPRESSED,
        CY: State.SENT,
    }
    assert [mail.recipients for mail in server.mails] == [(CY,), (ADA, CY)]
    (told,) = site.told(signals.message_suppressed)
    assert (told["replies"], told["finished"]) == (receipt.suppressed, False)


def test_a_list_applies_to_mail_with_its_tag(site: Site, server: JournalSmtp):
    site.mail.suppress(ADA, list="news")

    assert site.send(ADA, tag="news").suppressed
    assert site.settled(site.send(ADA, tag="receipts")).state is State.SENT
    assert len(server.mails) == 1


def test_suppressed_recipients_are_left_out_in_the_apps_transaction(
    site: Site, url: str, make_site: MakeSite
):
    site = make_site(OUTBOX_URL=url)
    site.mail.suppress(ADA)
    with engine_on(url) as engine, engine.begin() as connection:
        receipt = site.send(ADA, session=connection)
        other = site.send(ADA, BOB, session=connection)

    assert site.get(receipt).state is State.SUPPRESSED
    assert site.settled(other).state is State.SENT
    assert _states(site.get(other)) == {ADA: State.SUPPRESSED, BOB: State.SENT}


def test_the_receipt_of_a_duplicate_names_no_suppressed_recipients(site: Site):
    site.mail.suppress(ADA)
    first = site.send(ADA, key="welcome-1")

    again = site.send(ADA, key="welcome-1")

    assert (again.id, again.duplicate, again.suppressed) == (first.id, True, {})


# ----------------------------------------------------------------------- at delivery


def test_an_address_suppressed_by_another_process_is_left_out_of_waiting_mail(
    make_site: MakeSite, server: JournalSmtp
):
    """Handed over here, suppressed there, and claimed by a third."""
    here = make_site(OUTBOX_ENGINE="external")
    url = str(here.outbox.database.url)
    receipt, other = here.send(ADA), here.send(ADA, BOB)
    assert not receipt.suppressed
    make_site(OUTBOX_URL=url, OUTBOX_ENGINE="external").mail.suppress(ADA)

    courier = make_site(OUTBOX_URL=url)
    courier.mail.start()

    assert courier.settled(receipt).state is State.SUPPRESSED
    assert courier.settled(other).state is State.SENT
    assert [mail.recipients for mail in server.mails] == [(BOB,)]
    told = courier.wait_for(signals.message_suppressed, 2)
    assert {(one["message_id"], one["finished"]) for one in told} == {
        (receipt.id, True),
        (other.id, False),
    }


def test_an_address_suppressed_before_the_next_attempt_is_left_out(
    site: Site, server: JournalSmtp
):
    server.behaviour = Behaviour(at_data="451 4.3.0 later")
    receipt = site.send(ADA)
    site.wait_for(signals.message_deferred)

    site.mail.suppress(ADA)

    site.wait_for(signals.message_suppressed)
    assert site.get(receipt).state is State.SUPPRESSED
    server.behaviour = Behaviour()
    assert site.mail.drain(WAIT_SECONDS)
    assert server.mails == []


def test_many_suppressed_messages_hold_up_no_courier(
    make_site: MakeSite, server: JournalSmtp
):
    """None waits for the others, though no attempt ends that would wake the courier."""
    site = make_site(OUTBOX_ENGINE="external", OUTBOX_CONCURRENCY=1)
    receipts = [site.send(ADA) for _ in range(20)] + [site.send(BOB)]
    site.mail.suppress(ADA)
    url = str(site.outbox.database.url)

    courier = make_site(OUTBOX_URL=url, OUTBOX_CONCURRENCY=1, OUTBOX_POLL_SECONDS=HOUR)
    courier.mail.start()

    assert courier.settled(receipts[-1]).state is State.SENT
    assert courier.counts() == {State.SUPPRESSED: 20, State.SENT: 1}


def test_a_fallback_transport_leaves_suppressed_recipients_out(
    make_site: MakeSite, server: JournalSmtp
):
    here = make_site(OUTBOX_ENGINE="external")
    receipt, other = here.send(ADA), here.send(BOB)
    here.mail.suppress(ADA)

    courier = make_site(
        MAIL_URL="smtp://127.0.0.1:1",
        MAIL_TRANSPORTS={"spare": f"smtp://{server.host}:{server.port}"},
        MAIL_FAILOVER={"default": ["spare"]},
        OUTBOX_URL=str(here.outbox.database.url),
    )
    courier.mail.start()

    assert courier.settled(other).state is State.SENT
    assert courier.settled(receipt).state is State.SUPPRESSED
    assert [mail.recipients for mail in server.mails] == [(BOB,)]


# ------------------------------------------------------------------------- and again


def test_a_suppressed_message_is_retried_only_after_the_suppression_is_removed(
    site: Site, server: JournalSmtp
):
    site.mail.suppress(ADA)
    receipt = site.send(ADA)
    with pytest.raises(TransitionRefused, match="all of its remaining recipients"):
        site.mail.retry(receipt.id)

    site.mail.unsuppress(ADA)
    site.mail.retry(receipt.id)

    site.wait_for(signals.message_sent)
    assert site.get(receipt).state is State.SENT
    assert [mail.recipients for mail in server.mails] == [(ADA,)]


# ---------------------------------------------------------------------- without delay


def test_send_now_leaves_suppressed_recipients_out(site: Site, server: JournalSmtp):
    site.mail.suppress(BOB, reason="asked us to")

    with pytest.raises(DeliveryError) as raised:
        site.mail.send_now(Message("Hello", [ADA], "Hello\n", bcc=["Bob@Example.org"]))

    report = raised.value.report
    assert report.recipients[ADA].outcome is Outcome.ACCEPTED
    assert report.recipients["Bob@example.org"].outcome is Outcome.SUPPRESSED
    assert f"Bob@example.org: suppressed, {WHY}" in str(raised.value)
    assert [mail.recipients for mail in server.mails] == [(ADA,)]
    assert len(site.told(signals.email_dispatched)) == 1


def test_send_now_to_suppressed_recipients_only_opens_no_connection(
    site: Site, server: JournalSmtp
):
    site.mail.suppress(ADA)

    with pytest.raises(DeliveryError, match="was not accepted for everyone"):
        site.mail.send_now(Message("Hello", [ADA], "Hello\n"))

    assert server.connections_made == 0
    assert site.told(signals.email_dispatched) == []
