"""The engine ``celery``: couriers in the worker processes of the app's own Celery app.

The outbox is the truth, and the broker a doorbell: what it carries are the ids of
messages that are there. A task that is lost, late or delivered twice does no harm:
leases say who delivers what, and each courier looks by itself too.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from celery import shared_task, signals
from flask import Flask

from ..errors import ConfigError
from ..outbox.ids import is_id
from ..relay import BatchingRelay, Relay
from ..runtime import Runtime
from .doorbell import Doorbell

DELIVER = "flask_outbox.deliver"
"""The task that has messages delivered, named by their ids."""

SWEEP = "flask_outbox.sweep"
"""The task that has a courier look for what nobody rang for."""

DELIVER_WAIT_SECONDS = 10.0
"""How long a task waits for its messages at most: long enough for work to spread over
processes, short enough for an app's time limits. The courier goes on all the same."""

MOST_IDS = 10_000
"""A task names at most so many: one of ours, as many as a courier has places."""

SWEEP_SECONDS = 5.0
"""How often a worker has a sweep made, and how long that is worth making."""

_log = logging.getLogger("flask_outbox")

_apps: weakref.WeakSet[Flask] = weakref.WeakSet()
"""The apps of this process whose couriers run in Celery's workers."""


def join(app: Flask) -> None:
    """Have the tasks of this app's Celery app work on the app's outbox."""
    _apps.add(app)


def make_relay(app: Flask, runtime: Runtime) -> Relay:
    """What rings for messages that ``app`` hands over.

    Raises `ConfigError` for an app without a Celery app.
    """
    bell = Doorbell(_celery_of(app))
    places = runtime.settings.concurrency

    def publish(ids: Sequence[str]) -> None:
        """Ask for as many messages at a time as a courier has places for."""
        for start in range(0, len(ids), places):
            bell.ring(DELIVER, list(ids[start : start + places]))

    return BatchingRelay(publish, weakref.ref(app))


def _celery_of(app: Flask) -> Any:
    try:
        return app.extensions["celery"]
    except KeyError:
        raise ConfigError(
            "OUTBOX_ENGINE = 'celery' works with the app's own Celery app, and "
            "app.extensions['celery'] is not there: call celery_init_app(app), as in "
            "Flask's documentation (Background Tasks with Celery)."
        ) from None


def _runtimes(celery: Any) -> list[Runtime]:
    return [
        app.extensions["outbox"].runtime
        for app in list(_apps)
        if app.extensions.get("celery") is celery
    ]


def _served_by(celery: Any) -> list[Runtime]:
    found = _runtimes(celery)
    if not found:
        raise ConfigError(
            f"No Flask app in this process has the Celery app {celery.main!r} in its "
            "extensions: have create_app() call celery_init_app(app), and give the "
            "worker app.extensions['celery']. The mail is kept in the outbox."
        )
    return found


# The tasks


def _deliver(task: Any, *given: object, **named: object) -> None:
    """Deliver what can leave now of these messages, and wait until it has.

    Whoever can write to the broker can ask for anything: what is no list of ids is
    refused, with a line in the log.
    """
    ids = _ids(given, named)
    if ids is None:
        _log.warning(
            "The broker brought a task %s that names no messages: it was refused. Who "
            "else writes to this broker?",
            DELIVER,
        )
        return
    for one in _served_by(task.app):
        one.deliver(ids, DELIVER_WAIT_SECONDS)


def _ids(given: tuple[object, ...], named: dict[str, object]) -> list[str] | None:
    """The ids that a task is given, once each; None where it is given anything else."""
    if named or len(given) != 1 or not isinstance(given[0], list | tuple):
        return None
    found = given[0]
    if len(found) > MOST_IDS or not all(isinstance(one, str) for one in found):
        return None
    return list(dict.fromkeys(found)) if all(map(is_id, found)) else None


def _sweep(task: Any, *given: object, **named: object) -> None:
    """See that this process has a courier, and have it look."""
    if given or named:
        _log.warning(
            "The broker brought a task %s with arguments: it was refused.", SWEEP
        )
        return
    for one in _served_by(task.app):
        one.sweep()


_OPTIONS = {"bind": True, "ignore_result": True, "acks_late": False}
"""Whatever an app's own tasks do: of ours, the broker may forget what has begun."""

shared_task(_deliver, name=DELIVER, **_OPTIONS)
shared_task(_sweep, name=SWEEP, **_OPTIONS)


# Workers

_sweeping: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
"""Of each Celery app's worker, the entry in its timer that has sweeps made."""


def _ready(sender: Any, **_: Any) -> None:
    """Have a sweep made now and then, if this worker takes our tasks.

    Called again each time that the worker has found its broker.
    """
    celery = sender.app
    if not (_runtimes(celery) and _takes_our_tasks(sender)):
        return
    bell = Doorbell(celery)

    def ring() -> None:
        with suppress(Exception):  # the worker itself says that its broker is away
            bell.ring(SWEEP, expires=SWEEP_SECONDS)

    if celery in _sweeping:
        sender.timer.cancel(_sweeping[celery])
    ring()
    _sweeping[celery] = sender.timer.call_repeatedly(SWEEP_SECONDS, ring)


def _takes_our_tasks(worker: Any) -> bool:
    """Whether a worker's queues are those that our tasks are routed to."""
    queue = worker.app.amqp.router.route({}, SWEEP).get("queue")
    return queue is None or bool(worker.task_consumer.consuming_from(queue.name))


def _ends(**_: Any) -> None:
    """Wind down the courier of a process of the worker's, or of the worker itself."""
    for app in list(_apps):
        app.extensions["outbox"].runtime.stop()


signals.worker_ready.connect(_ready)
signals.worker_process_shutdown.connect(_ends)
signals.worker_shutdown.connect(_ends)
