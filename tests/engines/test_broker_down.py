"""A broker that is killed while mail is handed over and delivered, and comes back."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from flask_outbox import signals
from tests.mail.site import Site
from tests.servers import JournalSmtp
from tests.servers.brokers import Broker, RabbitBroker, RedisBroker
from tests.waiting import WAIT_SECONDS

from .conftest import Config, StartWorker, shop

RECOVERY_SECONDS = WAIT_SECONDS
EVERY_SECONDS = 0.05

FAST_SECONDS = 3.0
"""Far more than a hand-over takes, and less than a broker is waited for."""


@pytest.fixture(scope="module", params=[RedisBroker, RabbitBroker])
def broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Broker]:
    """A Redis, then a RabbitMQ, that nobody else uses."""
    with request.param(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture
def config(config: Config, broker: Broker) -> Config:
    return {**config, "CELERY": {"broker_url": broker.url, "task_ignore_result": True}}


@pytest.mark.parametrize(
    "down_seconds", [5, pytest.param(60, marks=pytest.mark.long)], ids=str
)
def test_mail_sent_while_the_broker_is_down_arrives_once(
    down_seconds: int,
    broker: Broker,
    config: Config,
    start_worker: StartWorker,
    server: JournalSmtp,
) -> None:
    start_worker("prefork")
    with shop(config) as site:
        site.send()
        server.wait_for(1)
        handed_over = [server.mails[0].rfc_message_id]

        broker.kill()
        seconds, message_ids = _hand_over_for(down_seconds, site)
        handed_over += message_ids
        site.wait_for(signals.notifier_stalled)
        broker.start()
        server.wait_for(len(handed_over), RECOVERY_SECONDS)
        site.wait_for(signals.notifier_resumed)

        last = site.send()
        server.wait_for(len(handed_over) + 1, RECOVERY_SECONDS)
        assert site.runtime.drain(RECOVERY_SECONDS)
    arrived = Counter(one.rfc_message_id for one in server.mails)
    assert arrived == Counter([*handed_over, last.rfc_message_id])
    assert max(seconds) < FAST_SECONDS


def test_a_worker_continues_to_deliver_without_a_broker(
    broker: Broker, config: Config, start_worker: StartWorker, server: JournalSmtp
) -> None:
    start_worker("threads")
    with shop(config) as site:
        site.send()
        server.wait_for(1)
        broker.kill()
        try:
            site.send()
            server.wait_for(2)
        finally:
            broker.start()


def _hand_over_for(seconds: float, site: Site) -> tuple[list[float], list[str]]:
    """How long each hand-over took, and the Message-IDs."""
    took, message_ids = [], []
    deadline = time.monotonic() + seconds
    while (began := time.monotonic()) < deadline:
        message_ids.append(site.send().rfc_message_id)
        took.append(time.monotonic() - began)
        time.sleep(EVERY_SECONDS)
    return took, message_ids
