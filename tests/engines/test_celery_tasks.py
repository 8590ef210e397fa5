"""What goes to the broker, and what a broker that is away costs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from flask_outbox import Message, State, signals
from tests.mail.site import Site
from tests.process_models.black_holes import silent
from tests.servers.brokers import RedisBroker
from tests.waiting import eventually

from .conftest import Config, shop
from .tasks import Task, tasks

SECRETS = ("ada@example.org", "Your invoice", "fourty-two", "shop@example.com", "<")
"""What the mail says, whom it is for and from, and where an address might begin."""

SENDS = 50
FAST_SECONDS = 3.0
"""Far more than a hand-over takes, and less than a broker is waited for at all."""


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> str:
    """Each broker in turn."""
    url: str = request.getfixturevalue(request.param)
    return url


def rung(url: str, queue: str, mails: int) -> list[Task]:
    """The tasks for so many mails, once all of them are there."""

    def look() -> list[Task]:
        found = tasks(url, queue)
        return found if sum(len(one.arguments[0]) for one in found) >= mails else []

    return eventually(look)


def celery(broker: str, queue: str, **settings: object) -> dict[str, object]:
    return {"broker_url": broker, "task_default_queue": queue, **settings}


def test_the_broker_gets_only_ids(config: Config, broker: str) -> None:
    config["CELERY"] = celery(broker, "ids")
    with shop(config) as site:
        with site.app.app_context():
            mail = Message("Your invoice", ["ada@example.org"], "fourty-two\n")
            receipt = site.mail.send(mail, tag="invoice", metadata={"no": "fourty-two"})
        (task,) = rung(broker, "ids", 1)

        assert task.name == "flask_outbox.deliver"
        assert task.arguments == [[receipt.id]]
        assert not [one for one in SECRETS if one in task.everything]
        assert site.get(receipt).state is State.PENDING


def test_the_broker_is_not_notified_of_messages_due_later(
    config: Config, broker: str
) -> None:
    config["CELERY"] = celery(broker, "due")
    with shop(config) as site:
        site.send(delay=3_600)
        due = site.send()
        (task,) = rung(broker, "due", 1)
    assert task.arguments == [[due.id]]


def test_a_task_names_no_more_messages_than_a_courier_has_places_for(
    config: Config, broker: str
) -> None:
    config["CELERY"] = celery(broker, "places")
    with shop({**config, "OUTBOX_CONCURRENCY": 4}) as site:
        ids = [site.send().id for _ in range(SENDS)]
        found = rung(broker, "places", SENDS)
    assert sorted(one for task in found for one in task.arguments[0]) == sorted(ids)
    assert max(len(task.arguments[0]) for task in found) <= 4


def test_celery_routes_apply_to_our_tasks(config: Config, broker: str) -> None:
    route = {"queue": "mail", "priority": 7}
    routes = {"flask_outbox.*": route}
    config["CELERY"] = celery(broker, "others", task_routes=routes)
    with shop(config) as site:
        receipt = site.send()
        (task,) = rung(broker, "mail", 1)
    assert task.arguments == [[receipt.id]]
    assert task.priority == 7
    assert tasks(broker, "others") == []


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_hanging_broker_does_not_delay_sending(scheme: str, config: Config) -> None:
    with silent() as hole:
        config["CELERY"] = {"broker_url": hole.replace("smtp:", f"{scheme}:") + "//"}
        with shop(config) as site:
            seconds = [_timed_send(site) for _ in range(SENDS)]
            site.wait_for(signals.notifier_stalled)
            seconds += [_timed_send(site) for _ in range(SENDS)]
            assert site.counts() == {State.PENDING: 2 * SENDS}
    assert max(seconds) < FAST_SECONDS


def test_a_broker_that_comes_back_is_notified_of_messages_it_missed(
    config: Config, tmp_path: Path
) -> None:
    with RedisBroker(tmp_path) as broker:
        config["CELERY"] = {"broker_url": broker.url}
        with shop(config) as site:
            before = site.send()
            rung(broker.url, "celery", 1)
            broker.kill()
            missed = [site.send().id for _ in range(3)]
            site.wait_for(signals.notifier_stalled)
            broker.start()
            site.wait_for(signals.notifier_resumed)
            told = {
                id for one in rung(broker.url, "celery", 3) for id in one.arguments[0]
            }
    assert told == set(missed)  # what it knew went with it
    assert before.id not in told


def _timed_send(site: Site) -> float:
    began = time.perf_counter()
    site.send()
    return time.perf_counter() - began
