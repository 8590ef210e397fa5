"""Workers that are killed, and tasks that come twice or never."""

from __future__ import annotations

from collections import Counter

import pytest

from flask_outbox import State
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import WAIT_SECONDS, eventually

from .conftest import Config, StartWorker, shop
from .tasks import tasks
from .workers import kill

RECOVERY_SECONDS = WAIT_SECONDS


@pytest.mark.parametrize("killed", ["pool", "worker"])
def test_mail_of_a_killed_worker_is_delivered_by_others(
    killed: str, config: Config, start_worker: StartWorker, server: JournalSmtp
) -> None:
    worker = start_worker("prefork")
    server.behaviour = Behaviour(hang=True)
    with shop(config) as site:
        receipts = [site.send() for _ in range(8)]
        server.wait_until(lambda: server.held == len(receipts), RECOVERY_SECONDS)
        if killed == "pool":
            for pid in worker.children:
                kill(pid)
        else:
            worker.kill()
            start_worker("prefork")
        server.wait_until(lambda: server.held == 0, RECOVERY_SECONDS)
        server.behaviour = Behaviour()
        server.wait_for(len(receipts), RECOVERY_SECONDS)
        assert site.runtime.drain(RECOVERY_SECONDS)
        assert site.counts() == {State.SENT: len(receipts)}
    arrived = Counter(one.rfc_message_id for one in server.mails)
    assert arrived == Counter(one.rfc_message_id for one in receipts)


def test_repeated_tasks_deliver_once(
    config: Config, start_worker: StartWorker, server: JournalSmtp
) -> None:
    start_worker("prefork")
    server.behaviour = Behaviour(delay_seconds=0.2)
    with shop(config) as site:
        deliver = site.app.extensions["celery"].tasks["flask_outbox.deliver"]
        ids = [site.send().id for _ in range(20)]
        for _ in range(2):
            deliver.delay(ids)
            deliver.delay(ids[::-1])
        server.wait_for(len(ids))
        for _ in range(3):
            deliver.delay(ids)
        eventually(lambda: not tasks(config["CELERY"]["broker_url"]))
        assert site.runtime.drain(WAIT_SECONDS)
        assert site.counts() == {State.SENT: len(ids)}
    assert len(server.mails) == len(ids)


def test_mail_purged_from_the_broker_is_delivered(
    config: Config, start_worker: StartWorker, server: JournalSmtp
) -> None:
    url = config["CELERY"]["broker_url"]
    with shop(config) as site:
        ids = [site.send().id for _ in range(20)]
        eventually(lambda: _rung(url) == set(ids))
        site.app.extensions["celery"].control.purge()
        assert tasks(url) == []
        start_worker("prefork")
        server.wait_for(len(ids), RECOVERY_SECONDS)
        assert site.runtime.drain(WAIT_SECONDS)
    assert len(server.mails) == len(ids)


def _rung(url: str) -> set[str]:
    return {one for task in tasks(url) for one in task.arguments[0]}
