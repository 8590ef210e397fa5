"""A server that is down pauses the lane: no attempt is spent, nothing is lost."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine

from flask_outbox import State, events
from tests.mail.conftest import MakeSite
from tests.mail.site import Site
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import eventually


def test_the_lane_is_paused_and_says_why(site: Site, server: JournalSmtp):
    server.go_down()
    receipts = [site.send() for _ in range(5)]
    site.wait_for(events.lane_paused, times=3)
    (lane,) = site.status().lanes
    assert lane.name == "default"
    assert f"{server.host}:{server.port} refused the connection" in lane.reason
    assert "Check" in lane.reason
    assert site.counts() == {State.PENDING: 5}
    assert {len(site.get(one).events) for one in receipts} != {0}


def test_no_attempt_is_spent_and_all_arrives_when_it_is_up(
    site: Site, server: JournalSmtp
):
    server.go_down()
    receipts = [site.send() for _ in range(25)]
    site.wait_for(events.lane_paused, times=3)
    server.come_back()
    records = [site.settled(one) for one in receipts]
    assert {one.state for one in records} == {State.SENT}
    arrived = sorted(mail.message_id for mail in server.mails)
    assert arrived == sorted(one.message_id for one in receipts)
    for record in records:
        assert record.attempts[-1].number == 1
    eventually(lambda: site.status().lanes == ())
    assert len(site.told(events.lane_resumed)) == 1


def test_what_is_sent_meanwhile_waits_untouched(site: Site, server: JournalSmtp):
    server.go_down()
    site.send()
    site.wait_for(events.lane_paused)
    meanwhile = site.send()
    site.wait_for(events.lane_paused, times=len(site.told(events.lane_paused)) + 2)
    assert [one.kind for one in site.get(meanwhile).events] == ["enqueued"]
    server.come_back()
    site.settled(meanwhile)


def test_being_down_does_not_use_up_patience(make_site: MakeSite, server: JournalSmtp):
    """Longer down than ``OUTBOX_GIVE_UP_AFTER``, and still delivered."""
    site = make_site(OUTBOX_GIVE_UP_AFTER=0.1)
    server.go_down()
    receipt = site.send()
    site.wait_until(
        lambda: site.outbox.clock() > site.get(receipt).enqueued_at.timestamp() + 0.3,
        "its time is long over",
    )
    assert site.get(receipt).state is not State.FAILED
    server.come_back()
    assert site.settled(receipt).state is State.SENT


def test_a_server_that_crashes_with_mail_in_hand(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(OUTBOX_LEASE_SECONDS=2)
    server.behaviour = Behaviour(hang=True)
    receipts = [site.send()]
    server.wait_until(lambda: server.connections == 1)
    server.go_down()
    server.behaviour = Behaviour()
    receipts.append(site.send())
    site.wait_for(events.lane_paused)
    server.come_back()
    site.wait_until(lambda: site.counts() == {State.SENT: 2}, "both are sent")
    arrived = sorted(mail.message_id for mail in server.mails)
    assert arrived == sorted(one.message_id for one in receipts)


@pytest.mark.parametrize("reply", ["421 4.3.2 shutting down"])
def test_a_server_that_says_421_pauses_the_lane(
    site: Site, server: JournalSmtp, reply: str
):
    server.behaviour = Behaviour(at_mail=reply)
    receipt = site.send()
    (paused, *_) = site.wait_for(events.lane_paused)
    assert reply in paused["reason"]
    server.behaviour = Behaviour()
    record = site.settled(receipt)
    assert record.state is State.SENT
    assert record.attempts[-1].number == 1


def test_a_rejected_login_pauses_the_lane(make_site: MakeSite, tmp_path):
    users = {"shop": "right"}
    with JournalSmtp(tmp_path / "users", users=users) as server:
        place = f"{server.host}:{server.port}"
        site = make_site(
            MAIL_URL=f"smtp://shop:wrong@{place}", MAIL_AUTH_UNENCRYPTED=True
        )
        receipt = site.send()
        (paused, *_) = site.wait_for(events.lane_paused)
        assert f"{place} rejected the login of 'shop'" in paused["reason"]
        assert "MAIL_PASSWORD" in paused["reason"]
        assert "wrong" not in paused["reason"]
        assert site.get(receipt).state is not State.FAILED
        users["shop"] = "wrong"
        assert site.settled(receipt).state is State.SENT


def test_a_restart_while_the_lane_is_paused_leaves_no_pause_behind(
    make_site: MakeSite, server: JournalSmtp
):
    """A new courier that can deliver shows no lane as paused."""
    first = make_site()
    server.go_down()
    receipt = first.send()
    first.wait_for(events.lane_paused)
    first.mail.stop()
    server.come_back()
    second = make_site(OUTBOX_URL=str(first.outbox.database.url))
    second.mail.start()
    assert second.settled(receipt).state is State.SENT
    eventually(lambda: second.status().lanes == ())


def test_a_pause_that_cannot_be_lifted_at_once_is_lifted_later(
    site: Site, server: JournalSmtp
):
    """The lane goes on meanwhile."""
    server.go_down()
    site.send()
    site.wait_for(events.lane_paused)
    eventually(site.outbox.paused_lanes)
    engine = create_engine(site.outbox.database.url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER stuck BEFORE DELETE ON outbox_lane "
            "BEGIN SELECT RAISE(ABORT, 'stuck'); END"
        )
    server.come_back()
    site.wait_for(events.lane_resumed)
    server.wait_for(1)
    site.wait_for(events.courier_stalled)
    assert site.outbox.paused_lanes() != []
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER stuck")
    engine.dispose()
    eventually(lambda: not site.outbox.paused_lanes())
