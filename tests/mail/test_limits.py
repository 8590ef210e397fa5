"""Priorities and limits: which message is sent first, and how many at a time."""

from __future__ import annotations

from flask_outbox import State, signals
from tests.mail.conftest import MakeSite
from tests.mail.site import Site
from tests.servers import STALL, Behaviour, JournalSmtp, ScriptedSmtp, Step
from tests.servers.scripted_smtp import CONTENT
from tests.smtp.talk import DATA, HELLO, MAIL, ONE_MAIL, RCPT

NEVER = 3_600
"""Seconds between two looks of a courier: if it looks at all, something woke it."""


def _occupied(site: Site, server: JournalSmtp):
    """Fill the only place with a message that the server sits on."""
    server.behaviour = Behaviour(hang=True)
    receipt = site.send()
    site.wait_for(signals.message_began)
    return receipt


def test_a_higher_priority_overtakes(make_site: MakeSite, server: JournalSmtp):
    site = make_site(OUTBOX_CONCURRENCY=1)
    begun = _occupied(site, server)
    options = {"low": -5, "usual": 0, "high": 10, "also usual": 0}
    receipts = {name: site.send(priority=option) for name, option in options.items()}
    server.behaviour = Behaviour()
    arrived = [mail.rfc_message_id for mail in server.wait_for(5)]
    expected = [begun] + [
        receipts[name] for name in ("high", "usual", "also usual", "low")
    ]
    assert arrived == [one.rfc_message_id for one in expected]


def test_no_more_connections_than_allowed(make_site: MakeSite, server: JournalSmtp):
    site = make_site(OUTBOX_CONCURRENCY=3)
    server.behaviour = Behaviour(hang=True)
    receipts = [site.send() for _ in range(20)]
    server.wait_until(lambda: server.connections == 3)
    assert site.counts() == {State.LEASED: 3, State.PENDING: 17}
    server.behaviour = Behaviour()
    server.wait_for(20)
    assert {site.settled(one).state for one in receipts} == {State.SENT}
    assert server.connections_made == 3


def test_a_connection_is_kept_open_for_the_next_mail(site: Site, server: JournalSmtp):
    for _ in range(5):
        site.settled(site.send())
    assert server.connections_made == 1


def test_a_connection_is_closed_after_so_many_mails(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(MAIL_MAX_EMAILS=2, OUTBOX_CONCURRENCY=1)
    for _ in range(5):
        site.settled(site.send())
    assert server.connections_made == 3


def test_an_idle_courier_is_woken_by_a_send(make_site: MakeSite, server: JournalSmtp):
    """It looks by itself once an hour, and mail leaves all the same."""
    site = make_site(OUTBOX_POLL_SECONDS=NEVER)
    site.make_ready()
    for count in range(1, 4):
        site.send()
        server.wait_for(count)


def test_a_send_before_the_courier_is_ready_is_delivered(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(OUTBOX_POLL_SECONDS=NEVER)
    for _ in range(3):
        site.send()
    server.wait_for(3)


def test_a_burst_of_more_than_fits_is_sent_completely(
    make_site: MakeSite, server: JournalSmtp
):
    """What finds no place is taken up when a place is free, not at the next look."""
    site = make_site(OUTBOX_POLL_SECONDS=NEVER, OUTBOX_CONCURRENCY=2)
    site.settled(site.send())
    server.behaviour = Behaviour(hang=True)
    receipts = [site.send() for _ in range(10)]
    server.behaviour = Behaviour()
    server.wait_for(11)
    assert {site.settled(one).state for one in receipts} == {State.SENT}


def test_a_message_that_comes_due_is_sent_in_time(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(OUTBOX_POLL_SECONDS=NEVER)
    site.make_ready()
    later, sooner = site.send(delay=1.0), site.send(delay=0.4)
    arrived = [mail.rfc_message_id for mail in server.wait_for(2)]
    assert arrived == [sooner.rfc_message_id, later.rfc_message_id]


def test_a_deferred_message_is_sent_in_time(make_site: MakeSite, server: JournalSmtp):
    site = make_site(OUTBOX_POLL_SECONDS=NEVER)
    server.behaviour = Behaviour(at_data="451 4.3.0 later")
    receipt = site.send()
    site.wait_for(signals.message_deferred)
    server.behaviour = Behaviour()
    assert site.settled(receipt).state is State.SENT


def test_a_message_that_waited_for_the_server_is_sent_in_time(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(OUTBOX_POLL_SECONDS=NEVER)
    server.go_down()
    receipts = [site.send() for _ in range(15)]
    site.wait_for(signals.lane_paused)
    server.come_back()
    assert {site.settled(one).state for one in receipts} == {State.SENT}


def test_one_slow_mail_delays_no_other(make_site: MakeSite):
    scripts = [*HELLO, MAIL, RCPT, DATA, Step(CONTENT, STALL)], [*HELLO, *ONE_MAIL * 3]
    with ScriptedSmtp(*scripts) as slow_for_one:
        site = make_site(
            MAIL_URL=f"smtp://{slow_for_one.host}:{slow_for_one.port}",
            OUTBOX_CONCURRENCY=2,
            OUTBOX_GRACE_SECONDS=0.1,
        )
        slow = site.send()
        slow_for_one.wait_for_step(len(scripts[0]) - 1)
        fast = [site.send() for _ in range(3)]
        assert {site.settled(one).state for one in fast} == {State.SENT}
        assert site.get(slow).state is State.LEASED
        site.mail.stop()
