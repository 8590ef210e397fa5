"""`send_now`: delivers before it returns, or names the recipients it failed for."""

from __future__ import annotations

import asyncio
import threading
from email.message import EmailMessage

import pytest

from flask_outbox import (
    DeliveryError,
    Message,
    Outcome,
    Report,
    TransportDown,
    TransportError,
    signals,
)
from tests.mail.site import ADA, BOB, Site
from tests.servers import Behaviour, JournalSmtp


def _hello(*recipients: str) -> Message:
    return Message("Hello", list(recipients), "Hello\n")


def test_a_message_has_arrived_when_send_now_returns(site: Site, server: JournalSmtp):
    report = site.mail.send_now(_hello(ADA, BOB))
    assert [mail.recipients for mail in server.mails] == [(ADA, BOB)]
    assert isinstance(report, Report)
    assert report.accepted
    assert {one: str(it.reply) for one, it in report.recipients.items()} == {
        ADA: "250 2.0.0 journaled as 1",
        BOB: "250 2.0.0 journaled as 1",
    }


def test_send_now_takes_a_standard_message(site: Site, server: JournalSmtp):
    message = EmailMessage()
    message["To"] = ADA
    message.set_content("Hello\n")
    assert site.mail.send_now(message).accepted
    assert len(server.mails) == 1


def test_send_now_stores_nothing_in_the_outbox(site: Site, server: JournalSmtp):
    before = set(threading.enumerate())
    site.mail.send_now(_hello(ADA))
    assert set(threading.enumerate()) == before
    assert site.counts() == {}
    told = [one.signal for one in site.heard]
    assert told == [signals.email_dispatched, signals.message_sent_now]
    server.wait_until(lambda: server.connections == 0)


def test_a_refusal_is_raised_with_the_report(site: Site, server: JournalSmtp):
    server.behaviour = Behaviour(recipients={BOB: "550 5.1.1 no such user"})
    with pytest.raises(DeliveryError) as raised:
        site.mail.send_now(_hello(ADA, BOB))
    report = raised.value.report
    assert report.recipients[ADA].outcome is Outcome.ACCEPTED
    assert report.recipients[BOB].outcome is Outcome.REFUSED
    assert f"{BOB}: refused, 550 5.1.1 no such user" in str(raised.value)
    assert ADA not in str(raised.value)
    assert [mail.recipients for mail in server.mails] == [(ADA,)]


def test_a_deferral_is_raised_and_not_tried_again(site: Site, server: JournalSmtp):
    server.behaviour = Behaviour(at_data="451 4.3.0 later")
    with pytest.raises(DeliveryError, match=r"deferred, 451 4\.3\.0 later") as raised:
        site.mail.send_now(_hello(ADA))
    assert raised.value.report.recipients[ADA].outcome is Outcome.DEFERRED
    assert server.connections_made == 1


def test_a_lost_connection_is_raised_as_unknown(site: Site, server: JournalSmtp):
    server.behaviour = Behaviour(drop="journaled")
    with pytest.raises(DeliveryError, match="after the final dot") as raised:
        site.mail.send_now(_hello(ADA))
    assert raised.value.report.recipients[ADA].outcome is Outcome.UNKNOWN


def test_a_server_that_is_down_is_an_error(site: Site, server: JournalSmtp):
    server.go_down()
    with pytest.raises(TransportDown, match="refused the connection") as raised:
        site.mail.send_now(_hello(ADA))
    assert isinstance(raised.value, TransportError)
    assert site.heard == []
    assert site.status().lanes == ()


def test_send_now_works_inside_a_running_event_loop(site: Site, server: JournalSmtp):
    async def view() -> Report:
        return site.mail.send_now(_hello(ADA))

    assert asyncio.run(view()).accepted
    assert len(server.mails) == 1


def test_errors_are_raised_inside_a_running_event_loop(site: Site, server: JournalSmtp):
    server.go_down()

    async def view() -> None:
        site.mail.send_now(_hello(ADA))

    with pytest.raises(TransportDown):
        asyncio.run(view())


def test_send_now_works_inside_a_view(site: Site, server: JournalSmtp):
    @site.app.post("/send-now")
    def send_now():
        return {"accepted": site.mail.send_now(_hello(ADA)).accepted}

    response = site.app.test_client().post("/send-now")
    assert response.json == {"accepted": True}
    assert len(server.mails) == 1
