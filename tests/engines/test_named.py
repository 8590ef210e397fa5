"""Tasks name messages; whether those may leave is decided as for all others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from flask_outbox import Receipt, State
from tests.mail.site import Site, url_of
from tests.servers import Behaviour, JournalSmtp

from .conftest import Config, shop

NO_BROKER = {"broker_url": "redis://127.0.0.1:1/0"}

CROWD = 4

OpenShop = Callable[..., Site]


@pytest.fixture
def open_shop(server: JournalSmtp, outbox_url: str) -> Iterator[OpenShop]:
    """Opens a shop whose tasks this process does itself; keywords are settings."""
    with ExitStack() as stack:

        def open_(**changes: object) -> Site:
            config: Config = {
                "MAIL_URL": url_of(server),
                "MAIL_DEFAULT_SENDER": "shop@example.com",
                "OUTBOX_URL": outbox_url,
                "OUTBOX_ENGINE": "celery",
                "CELERY": NO_BROKER,
                **changes,
            }
            return stack.enter_context(shop(config))

        yield open_


def deliver(site: Site, *receipts: Receipt) -> None:
    """Do the task for these messages, as a worker would."""
    task = site.app.extensions["celery"].tasks["flask_outbox.deliver"]
    task.apply(([one.id for one in receipts],), throw=True)


def test_a_task_ends_when_its_messages_are_recorded(
    open_shop: OpenShop, server: JournalSmtp
) -> None:
    site = open_shop()
    server.behaviour = Behaviour(delay_seconds=0.2)
    receipts = [site.send() for _ in range(5)]
    deliver(site, *receipts)
    assert site.counts() == {State.SENT: 5}


def test_a_paused_transport_sends_nothing(
    open_shop: OpenShop, server: JournalSmtp
) -> None:
    site = open_shop()
    site.outbox.pause_lane_by_operator("default", "maintenance")
    receipt = site.send()
    deliver(site, receipt)
    assert site.counts() == {State.PENDING: 1}
    site.outbox.resume_lane_by_operator("default")
    server.wait_for(1)


def test_no_task_exceeds_the_rate(open_shop: OpenShop, server: JournalSmtp) -> None:
    site = open_shop(MAIL_RATE="3/h")
    receipts = [site.send() for _ in range(8)]
    for one in receipts:
        deliver(site, one)
    deliver(site, *receipts)
    assert site.counts() == {State.SENT: 3, State.PENDING: 5}
    assert len(server.mails) == 3


def test_if_more_is_due_than_fits_the_priority_decides(
    open_shop: OpenShop, server: JournalSmtp
) -> None:
    site = open_shop(OUTBOX_CONCURRENCY=1)
    server.behaviour = Behaviour(hang=True)
    first = site.send()
    site.runtime.sweep()
    server.wait_until(lambda: server.held == 1)
    low = [site.send(priority=1) for _ in range(CROWD)]
    high = [site.send(priority=2) for _ in range(CROWD)]
    with ThreadPoolExecutor(CROWD) as crowd:
        tasks = [crowd.submit(deliver_until_sent, site, one) for one in low]
        server.behaviour = Behaviour(delay_seconds=0.02)
        for one in tasks:
            one.result()
    arrived = [one.rfc_message_id for one in server.mails]
    ahead = [one.rfc_message_id for one in [first, *high]]
    assert arrived[: len(ahead)] == ahead
    assert len(arrived) == len(ahead) + len(low)


def deliver_until_sent(site: Site, receipt: Receipt) -> None:
    while site.get(receipt).state is not State.SENT:
        deliver(site, receipt)


def test_a_cancelled_message_is_not_sent(
    open_shop: OpenShop, server: JournalSmtp
) -> None:
    site = open_shop()
    cancelled, kept = site.send(), site.send()
    with site.app.app_context():
        site.mail.cancel(cancelled.id)
    deliver(site, cancelled, kept)
    assert site.counts() == {State.CANCELLED: 1, State.SENT: 1}
    assert len(server.mails) == 1
