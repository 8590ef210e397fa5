"""A server that is down pauses the lane: no attempt is used, and nothing is lost."""

from __future__ import annotations

import threading

import pytest

from flask_outbox import State, signals
from flask_outbox.courier.lane import Lane
from flask_outbox.outbox import MessageActions
from tests.mail.conftest import MakeSite
from tests.mail.shop import engine_on
from tests.mail.site import BOB, PUT_OFF_FOR_LONG, Site
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import WAIT_SECONDS, eventually

HOUR = 3_600


def test_the_lane_is_paused_and_says_why(site: Site, server: JournalSmtp):
    server.go_down()
    receipts = [site.send() for _ in range(5)]
    site.wait_for(signals.lane_paused, times=3)
    (lane,) = site.status().lanes
    assert lane.name == "default"
    assert f"{server.host}:{server.port} refused the connection" in lane.reason
    assert "Check" in lane.reason
    assert site.counts() == {State.PENDING: 5}
    assert {len(site.get(one).events) for one in receipts} != {0}


def test_an_outage_uses_no_attempt_and_all_mail_arrives_after_it(
    site: Site, server: JournalSmtp
):
    server.go_down()
    receipts = [site.send() for _ in range(25)]
    site.wait_for(signals.lane_paused, times=3)
    server.come_back()
    records = [site.settled(one) for one in receipts]
    assert {one.state for one in records} == {State.SENT}
    assert server.arrived == sorted(one.rfc_message_id for one in receipts)
    for record in records:
        assert record.attempts[-1].number == 1
    eventually(lambda: site.status().lanes == ())
    assert len(site.told(signals.lane_resumed)) == 1


def test_mail_sent_during_an_outage_waits_without_an_attempt(
    site: Site, server: JournalSmtp
):
    server.go_down()
    site.send()
    site.wait_for(signals.lane_paused)
    meanwhile = site.send()
    site.wait_for(signals.lane_paused, times=len(site.told(signals.lane_paused)) + 2)
    assert [one.kind for one in site.get(meanwhile).events] == ["enqueued"]
    server.come_back()
    site.settled(meanwhile)


def test_an_outage_does_not_use_up_the_retry_window(
    make_site: MakeSite, server: JournalSmtp
):
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


def test_mail_in_flight_at_a_servers_crash_is_sent_after_it(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(OUTBOX_LEASE_SECONDS=2)
    server.behaviour = Behaviour(hang=True)
    receipts = [site.send()]
    server.wait_until(lambda: server.connections == 1)
    server.go_down()
    server.behaviour = Behaviour()
    receipts.append(site.send())
    site.wait_for(signals.lane_paused)
    server.come_back()
    site.wait_until(lambda: site.counts() == {State.SENT: 2}, "both are sent")
    assert server.arrived == sorted(one.rfc_message_id for one in receipts)


@pytest.mark.parametrize("reply", ["421 4.3.2 shutting down"])
def test_a_server_that_says_421_pauses_the_lane(
    site: Site, server: JournalSmtp, reply: str
):
    server.behaviour = Behaviour(at_mail=reply)
    receipt = site.send()
    (paused, *_) = site.wait_for(signals.lane_paused)
    assert reply in paused["reason"]
    server.behaviour = Behaviour()
    record = site.settled(receipt)
    assert record.state is State.SENT
    assert record.attempts[-1].number == 1


@pytest.mark.parametrize("at", ["at_mail", "at_rcpt", "at_data"])
def test_a_demanded_login_pauses_the_lane_at_any_command(
    site: Site, server: JournalSmtp, at: str
):
    server.behaviour = Behaviour(**{at: "530 5.7.0 log in first"})  # type: ignore[arg-type]
    receipts = [site.send() for _ in range(5)]
    pauses = site.wait_for(signals.lane_paused, times=4)
    assert "login or TLS (530 5.7.0 log in first)" in pauses[-1]["reason"]
    assert set(site.counts()) <= {State.PENDING, State.LEASED}
    server.behaviour = Behaviour()
    records = [site.settled(one) for one in receipts]
    assert {one.state for one in records} == {State.SENT}
    assert {one.attempts[-1].number for one in records} == {1}
    assert site.told(signals.message_deferred) == []


def test_a_servers_limit_of_connections_pauses_and_defers_nothing(
    site: Site, server: JournalSmtp
):
    server.behaviour = Behaviour(most_connections=2)
    records = [site.settled(one) for one in [site.send() for _ in range(30)]]
    assert {one.state for one in records} == {State.SENT}
    assert site.told(signals.lane_paused) == []
    assert site.told(signals.message_deferred) == []


def test_a_rejected_login_pauses_the_lane(make_site: MakeSite, tmp_path):
    users = {"shop": "right"}
    with JournalSmtp(tmp_path / "users", users=users) as server:
        place = f"{server.host}:{server.port}"
        site = make_site(
            MAIL_URL=f"smtp://shop:wrong@{place}",
            MAIL_AUTH_UNENCRYPTED=True,
            OUTBOX_LANE_PAUSE_CAP_SECONDS=0.001,
        )
        receipt = site.send()
        (paused, *_) = site.wait_for(signals.lane_paused)
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
    first.wait_for(signals.lane_paused)
    first.mail.stop()
    server.come_back()
    second = make_site(OUTBOX_URL=str(first.outbox.database.url))
    second.mail.start()
    assert second.settled(receipt).state is State.SENT
    eventually(lambda: second.status().lanes == ())


def test_a_restart_while_the_server_is_down_does_not_hide_since_when(
    make_site: MakeSite, server: JournalSmtp
):
    """A courier that starts, with no mail to try, finds the lane still down."""
    first = make_site()
    server.go_down()
    first.send()
    first.wait_for(signals.lane_paused)
    (before,) = eventually(lambda: first.status().lanes)
    first.mail.stop()
    first.outbox.act(MessageActions.cancel, first.outbox.list()[0].id)
    second = make_site(OUTBOX_URL=str(first.outbox.database.url))
    second.mail.start()
    second.wait_for(signals.lane_paused, times=2)
    (after,) = second.status().lanes
    assert after.since == before.since
    server.come_back()
    eventually(lambda: second.status().lanes == ())


def _paused(site: Site) -> list[str]:
    """The lanes whose transport is in trouble, as the outbox has it."""
    return [one.name for one in site.outbox.lanes() if one.paused_by == "trouble"]


def test_a_pause_that_cannot_be_lifted_at_once_is_lifted_later(
    site: Site, server: JournalSmtp
):
    """The lane goes on meanwhile."""
    server.go_down()
    site.send()
    site.wait_for(signals.lane_paused)
    eventually(lambda: _paused(site))
    with engine_on(site.outbox.database.url) as engine:
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE TRIGGER stuck BEFORE UPDATE ON outbox_lane "
                "BEGIN SELECT RAISE(ABORT, 'stuck'); END"
            )
        server.come_back()
        site.wait_for(signals.lane_resumed)
        server.wait_for(1)
        site.wait_for(signals.courier_stalled)
        assert _paused(site)
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TRIGGER stuck")
    eventually(lambda: not _paused(site))


# ---------------------------------------- a message that is itself the trouble


def _in_the_way(server: JournalSmtp) -> None:
    """The server breaks off on mail for Bob, and on no other."""
    server.behaviour = Behaviour(recipients={BOB: "421 4.7.0 not this one"})


def test_a_message_that_brings_the_transport_down_each_time_uses_attempts(
    make_site: MakeSite, server: JournalSmtp
):
    """It is the third time that probes find nothing wrong: it is the message."""
    site = make_site(**PUT_OFF_FOR_LONG)
    _in_the_way(server)
    receipt = site.send(BOB)
    site.wait_for(signals.message_deferred)
    record = site.get(receipt)
    assert [one.outcome for one in record.attempts] == [
        "returned",
        "returned",
        "deferred",
    ]
    assert "421 4.7.0 not this one" in str(record.recipients[0].reply)
    assert "this message broke the connection each time" in str(
        record.recipients[0].reply
    )
    assert len(site.told(signals.lane_paused)) == 2
    assert site.settled(site.send()).state is State.SENT


def test_a_message_that_brings_the_transport_down_fails_in_the_end(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(OUTBOX_GIVE_UP_AFTER=0.3)
    _in_the_way(server)
    assert site.settled(site.send(BOB)).state is State.FAILED


def test_a_message_that_brings_the_transport_down_delays_no_others(
    site: Site, server: JournalSmtp
):
    _in_the_way(server)
    bad = site.send(BOB)
    others = [site.send() for _ in range(25)]
    records = [site.settled(one) for one in others]
    assert {one.state for one in records} == {State.SENT}
    assert {one.attempts[-1].number for one in records} == {1}
    site.wait_for(signals.message_deferred)
    assert not site.get(bad).state.final


def test_an_outage_is_blamed_on_no_message(site: Site, server: JournalSmtp):
    """However often the lane pauses with the same message: the probes fail too."""
    receipt = site.send()
    site.settled(receipt)
    server.go_down()
    receipt = site.send()
    site.wait_for(signals.lane_paused, times=6)
    assert site.told(signals.message_deferred) == []
    server.come_back()
    assert site.settled(receipt).attempts[-1].number == 1


def test_an_ending_process_waits_for_the_first_probe(
    site: Site, server: JournalSmtp, monkeypatch: pytest.MonkeyPatch
):
    """A server that restarts just then is back soon."""
    probe = Lane.probe

    async def probe_once_it_is_back(lane: Lane) -> bool:
        server.come_back()
        return await probe(lane)

    monkeypatch.setattr(Lane, "probe", probe_once_it_is_back)
    server.go_down()
    receipt = site.send()
    site.runtime.stop(drain=True)
    assert site.get(receipt).state is State.SENT


def test_an_ending_process_does_not_wait_after_a_probe_that_failed(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(OUTBOX_GRACE_SECONDS=HOUR)
    server.go_down()
    receipt = site.send()
    ending = threading.Thread(target=site.runtime.stop, kwargs={"drain": True})
    ending.start()
    ending.join(WAIT_SECONDS)
    assert not ending.is_alive()
    assert site.get(receipt).state is State.PENDING
