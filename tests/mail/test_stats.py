"""Statistics of a real courier."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from flask_outbox import signals
from flask_outbox.counters import Histogram
from flask_outbox.outbox.stats import Stats
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, BOB, Site
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import eventually


def pulse_of(site: Site) -> Stats:
    """All that the couriers have counted, once this site's has ended."""
    with site.app.app_context():
        site.mail.stop()
    now = datetime.now(UTC)
    return site.outbox.stats(now - timedelta(hours=1), now + timedelta(minutes=1))


def test_sent_messages_are_counted_with_their_durations(site: Site):
    for receipt in [site.send() for _ in range(3)]:
        site.settled(receipt)

    found = pulse_of(site)

    assert (found.whole.sent, found.whole.failed) == (3, 0)
    assert sum(bucket.sent for bucket in found.buckets) == 3
    assert found.whole.waits.p99
    assert found.whole.durations.p50
    assert found.whole.durations.p50 <= found.whole.waits.p99
    assert found.troubles == ()


def test_failed_attempts_are_counted_by_the_servers_reply(
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


def test_the_wait_of_a_scheduled_message_begins_at_its_time(site: Site):
    """However slow the machine is, it does not count the delay."""
    site.make_ready()
    delay_seconds, began = 1.5, time.monotonic()
    site.settled(site.send(delay=delay_seconds))
    longest = Histogram()
    longest.add(time.monotonic() - began - delay_seconds)

    waits = pulse_of(site).whole.waits

    assert waits.p99
    assert waits.p99 <= (longest.percentile(99) or 0)


def test_couriers_of_two_processes_are_counted_together(
    make_site: MakeSite, server: JournalSmtp
):
    first = make_site()
    url = first.runtime.settings.url
    first.settled(first.send())
    pulse_of(first)
    second = make_site(OUTBOX_URL=url)
    second.make_ready()  # else the first might deliver its mail
    second.settled(second.send())

    assert pulse_of(second).whole.sent == 2


def test_statistics_are_written_while_the_courier_works(make_site: MakeSite):
    site = make_site(OUTBOX_LEASE_SECONDS=1)
    site.send()
    site.wait_for(signals.message_sent)
    now = datetime.now(UTC)
    since, until = now - timedelta(hours=1), now + timedelta(hours=1)

    eventually(lambda: site.outbox.stats(since, until, 1).whole.sent == 1)
