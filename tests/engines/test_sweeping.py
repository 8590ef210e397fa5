"""What nobody rang for is found all the same, and by nobody else."""

from __future__ import annotations

from pathlib import Path

from flask_outbox import State
from tests.servers import JournalSmtp
from tests.waiting import eventually

from .conftest import Config, StartWorker, shop
from .tasks import tasks
from .workers import Celery, kill

ELSEWHERE = {"OUTBOX_ENGINE": "external"}
"""A shop that rings for nothing."""


def test_a_worker_finds_pending_messages_and_those_that_become_due(
    config: Config, start_worker: StartWorker, server: JournalSmtp
) -> None:
    with shop({**config, **ELSEWHERE}) as site:
        waited = site.send()
        start_worker("prefork")
        assert [one.rfc_message_id for one in server.wait_for(1)] == [
            waited.rfc_message_id
        ]
        scheduled = site.send(delay=0.5)
        assert server.wait_for(2)[1].rfc_message_id == scheduled.rfc_message_id


def test_a_killed_courier_is_soon_replaced(
    config: Config, start_worker: StartWorker, server: JournalSmtp
) -> None:
    worker = start_worker("prefork", "-c", "1")
    with shop({**config, **ELSEWHERE}) as site:
        (courier,) = eventually(lambda: site.status().couriers)
        kill(courier.pid)
        site.send()
        server.wait_for(1)
        pids = [one.pid for one in site.status().couriers if one.alive]
    assert pids
    assert set(pids) <= set(worker.children)


def test_celery_beat_can_schedule_sweeps(
    config: Config, server: JournalSmtp, tmp_path: Path
) -> None:
    entry = {"task": "flask_outbox.sweep", "schedule": 0.1, "options": {"expires": 5.0}}
    config["CELERY"].update(beat_schedule={"outbox": entry}, task_default_queue="beat")
    with Celery(tmp_path / "beat", config, "beat", "-l", "INFO") as beat:
        beat.wait_for("Sending due task outbox")
        (task, *_) = eventually(lambda: tasks(config["CELERY"]["broker_url"], "beat"))
    assert task.name == "flask_outbox.sweep"


def test_a_worker_on_other_queues_delivers_no_mail(
    config: Config, start_worker: StartWorker, server: JournalSmtp
) -> None:
    config["CELERY"]["task_routes"] = {"flask_outbox.*": {"queue": "mail"}}
    url = config["CELERY"]["broker_url"]
    other = start_worker("prefork", "-Q", "other")
    with shop(config) as site:
        receipt = site.send()
        eventually(lambda: tasks(url, "mail"))
        other.stop()
        assert [one.name for one in tasks(url, "mail")] == ["flask_outbox.deliver"]
        assert site.status().couriers == ()
        assert site.get(receipt).state is State.PENDING

        start_worker("prefork", "-Q", "mail,other")
        server.wait_for(1)
