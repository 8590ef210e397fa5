"""Rates: how much is sent in a period, by all couriers together."""

from __future__ import annotations

import threading

from flask_outbox import State, signals
from tests.mail.conftest import MakeSite
from tests.mail.site import url_of
from tests.servers import JournalSmtp
from tests.waiting import WAIT_SECONDS, eventually

NEVER = 3_600


def test_no_more_mail_is_sent_than_the_rate_allows(
    make_site: MakeSite, server: JournalSmtp
):
    """And what is over waits untouched, even where its sender has a courier."""
    site = make_site(MAIL_RATE="4/h")
    site.make_ready()
    receipts = [site.send() for _ in range(10)]
    site.wait_for(signals.message_sent, times=4)
    assert {site.get(one).state for one in receipts} == {State.SENT, State.PENDING}
    assert site.counts() == {State.SENT: 4, State.PENDING: 6}
    untouched = [
        one
        for one in receipts
        if [e.kind for e in site.get(one).events] == ["enqueued"]
    ]
    assert len(untouched) == 6
    assert len(server.mails) == 4


def test_several_couriers_share_the_rate(make_site: MakeSite, server: JournalSmtp):
    first = make_site(MAIL_RATE="7/h", OUTBOX_CONCURRENCY=2)
    second = make_site(
        MAIL_RATE="7/h",
        OUTBOX_CONCURRENCY=2,
        OUTBOX_URL=str(first.outbox.database.url),
    )
    first.make_ready()
    second.make_ready()
    for _ in range(10):
        first.send()
        second.send()
    eventually(lambda: first.counts() == {State.SENT: 7, State.PENDING: 13})
    assert second.counts() == first.counts()
    assert len(server.mails) == 7


def test_an_ending_process_waits_for_what_the_rate_allows_in_time(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(MAIL_RATE="2/s")
    for _ in range(6):
        site.send()
    site.runtime.stop(drain=True)
    assert site.counts() == {State.SENT: 6}
    assert len(server.mails) == 6


def test_an_ending_process_does_not_wait_for_what_the_rate_allows_too_late(
    make_site: MakeSite,
):
    site = make_site(MAIL_RATE="2/d", OUTBOX_GRACE_SECONDS=NEVER)
    for _ in range(6):
        site.send()
    ending = threading.Thread(target=site.runtime.stop, kwargs={"drain": True})
    ending.start()
    ending.join(WAIT_SECONDS)
    assert not ending.is_alive()
    assert site.counts() == {State.SENT: 2, State.PENDING: 4}


def test_waiting_mail_is_sent_as_soon_as_the_rate_allows(
    make_site: MakeSite, server: JournalSmtp
):
    """The courier sleeps until then, however seldom it looks by itself."""
    site = make_site(MAIL_RATE="5/s", OUTBOX_POLL_SECONDS=NEVER)
    receipts = [site.send() for _ in range(12)]
    assert {site.settled(one).state for one in receipts} == {State.SENT}
    began = sorted(
        event.at.timestamp()
        for one in receipts
        for event in site.get(one).events
        if event.kind == "began"
    )
    assert began[5] > began[0]
    assert began[10] > began[5]


def test_waiting_mail_is_sent_although_all_places_were_taken_before(
    make_site: MakeSite, server: JournalSmtp
):
    """The rate allows as many as there are places: both are used up together."""
    site = make_site(MAIL_RATE="2/s", OUTBOX_CONCURRENCY=2, OUTBOX_POLL_SECONDS=NEVER)
    receipts = [site.send() for _ in range(6)]
    assert {site.settled(one).state for one in receipts} == {State.SENT}


def test_a_rate_delays_no_other_lane(make_site: MakeSite, server: JournalSmtp):
    keys = {"MAIL_URL": url_of(server), "MAIL_RATE": "1/h"}
    site = make_site(MAIL_TRANSPORTS={"bulk": keys})
    bulk = [site.send(transport="bulk") for _ in range(3)]
    others = [site.send() for _ in range(20)]
    assert {site.settled(one).state for one in others} == {State.SENT}
    site.wait_for(signals.message_sent, times=21)
    states = sorted(site.get(one).state for one in bulk)
    assert states == [State.PENDING, State.PENDING, State.SENT]
