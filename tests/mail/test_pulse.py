"""The pulse of a real courier: what its attempts came to is there when it has ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flask_outbox import events
from flask_outbox.outbox.pulse import Pulse
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, BOB, Site
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import eventually


def pulse_of(site: Site) -> Pulse:
    """All that the couriers have counted, once this site's has ended."""
    with site.app.app_context():
        site.mail.stop()
    now = datetime.now(UTC)
    return site.outbox.pulse(now - timedelta(hours=1), now + timedelta(minutes=1))


def test_what_was_sent_is_counted_with_how_long_it_took(site: Site):
    for receipt in [site.send() for _ in range(3)]:
        site.settled(receipt)

    found = pulse_of(site)

    assert (found.whole.sent, found.whole.failed) == (3, 0)
    assert sum(beat.sent for beat in found.beats) == 3
    assert found.whole.waits.p99
    assert found.whole.durations.p50
    assert found.whole.durations.p50 <= found.whole.waits.p99
    assert found.troubles == ()


def test_what_went_wrong_is_counted_by_what_the_server_said(
    site: Site, server: JournalSmtp
):
    never = "550 5.1.1 <{}>: no such user"
    server.behaviour = Behaviour(
        recipients={ADA: never.format(ADA), BOB: never.format(BOB)}
    )
    receipt = site.send(ADA, BOB)
    site.settled(receipt)

    found = pulse_of(site)

    assert found.whole.failed == 1
    (trouble,) = found.troubles
    assert trouble.words == "550 5.1.1 <…>: no such user"
    assert (trouble.count, trouble.message_id) == (2, receipt.id)


def test_a_scheduled_message_waits_from_its_time_on(site: Site):
    site.make_ready()
    site.settled(site.send(delay=1.5))

    waits = pulse_of(site).whole.waits

    assert waits.p99
    assert waits.p99 <= 1.0


def test_couriers_of_two_processes_are_counted_together(
    make_site: MakeSite, server: JournalSmtp
):
    first = make_site()
    url = first.runtime.settings.url
    first.settled(first.send())
    pulse_of(first)
    second = make_site(OUTBOX_URL=url)
    second.settled(second.send())

    assert pulse_of(second).whole.sent == 2


def test_it_is_written_while_the_courier_works(make_site: MakeSite):
    site = make_site(OUTBOX_LEASE_SECONDS=1)
    site.send()
    site.wait_for(events.message_sent)
    now = datetime.now(UTC)
    since, until = now - timedelta(hours=1), now + timedelta(hours=1)

    eventually(lambda: site.outbox.pulse(since, until, 1).whole.sent == 1)
