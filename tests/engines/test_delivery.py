"""Mail through Celery's workers: each pool, on RabbitMQ and on Redis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flask_outbox import Message
from tests.mail.site import ADA
from tests.servers import JournalSmtp
from tests.waiting import WAIT_SECONDS

from .conftest import Config, StartWorker, shop

MAILS = 30
FEW = 3
"""Connections of one courier: a mail may come before the last has quite ended."""

QUORUM = {
    "task_default_queue": "quorum",
    "task_default_queue_type": "quorum",
    "task_default_exchange_type": "topic",
    "worker_detect_quorum_queues": True,
}
"""Quorum queues, as Celery's documentation sets them up."""


def _bill() -> Message:
    """A mail that a worker renders."""
    return Message.from_template("bill", [ADA], "Bill", render="later", sum=7)


@pytest.mark.parametrize(
    ("pool", "broker", "changes"),
    [
        pytest.param("prefork", "redis", {}, id="prefork-redis"),
        pytest.param("prefork", "rabbitmq", QUORUM, id="prefork-rabbitmq-quorum"),
        pytest.param("threads", "rabbitmq", {}, id="threads-rabbitmq"),
        pytest.param("gevent", "redis", {}, id="gevent-redis"),
    ],
)
def test_workers_reuse_their_connections(
    pool: str,
    broker: str,
    changes: dict[str, Any],
    config: Config,
    start_worker: StartWorker,
    server: JournalSmtp,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    url = request.getfixturevalue(broker)
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / "bill.txt").write_text("{{ sum }} coins")
    config["TEMPLATE_FOLDER"] = str(tmp_path)
    config["CELERY"] = {"broker_url": url, "task_ignore_result": True, **changes}
    worker = start_worker(pool)
    with shop(config) as site:
        for number in range(MAILS):
            site.send()
            server.wait_for(number + 1)
        with site.app.app_context():
            site.mail.send(_bill())
        server.wait_for(MAILS + 1)
        couriers = site.status().couriers
        assert site.runtime.drain(WAIT_SECONDS)
        worker.stop()
        assert not site.status().couriers  # each has signed off

    assert {one.engine for one in couriers} == {"celery"}
    assert len(server.mails) == MAILS + 1
    assert server.mails[-1].content.endswith(b"7 coins\r\n")
    assert server.connections_made <= FEW * len(couriers)
    assert server.connections == 0
