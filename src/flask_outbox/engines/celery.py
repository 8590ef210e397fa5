"""The engine ``celery``: couriers in the worker processes of the app's Celery app.

The broker only carries ids of messages that are in the outbox, so a task that is lost,
late or delivered twice does no harm: leases decide who delivers a message, and each
courier also polls.
"""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from celery import shared_task, signals

from ..courier.notifier import BatchingNotifier, WakeupNotifier
from ..errors import ConfigError
from ..outbox import is_id
from ..runtime import Runtime

CONNECT_SECONDS = 2
"""How long the broker may take to accept a connection."""

ANSWER_SECONDS = 3
"""How long it may take to confirm a task."""

_CONNECTION_OPTIONS: dict[str, dict[str, Any]] = {
    "amqp": {"confirm_publish": True},
    "redis": {
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
    },
}
"""What makes each broker confirm in time; the app's own options take precedence."""


class TaskSender:
    """Sends tasks over a connection of its own that fails early. For one thread only.

    Celery's own connections may wait for a broker as long as the app allows. This one
    fails within seconds, so that an unreachable broker is soon noticed.
    """

    def __init__(self, celery: Any) -> None:
        self._celery = celery
        self._connection: Any = None
        self._producer: Any = None
        self._pid = 0

    def send(self, task: str, *args: Any, **options: Any) -> None:
        """Send a task; returns once the broker has it. Raises what the broker's client
        raises.

        ``options`` are Celery's own. An idle connection may have been closed by the
        other side, so a failure on an old connection is retried once on a new one.
        """
        kept = self._connection is not None and self._pid == os.getpid()
        if not kept:
            self._connect()
        try:
            self._send(task, args, options)
        except Exception:
            self._disconnect()
            if not kept:
                raise
            self.send(task, *args, **options)

    def _connect(self) -> None:
        connection = self._celery.connection_for_write(connect_timeout=CONNECT_SECONDS)
        options = _CONNECTION_OPTIONS.get(connection.transport.driver_type, {})
        connection.transport_options = {**options, **connection.transport_options}
        brokers = max(1, len(connection.alt))
        connection.ensure_connection(max_retries=brokers - 1)
        self._producer = self._celery.amqp.Producer(connection)
        self._connection = connection
        self._pid = os.getpid()

    def _send(self, task: str, args: Any, options: Any) -> None:
        self._celery.tasks[task].apply_async(
            args,
            producer=self._producer,
            retry=False,
            timeout=ANSWER_SECONDS,
            **options,
        )

    def _disconnect(self) -> None:
        """Drop the connection without closing it politely: the other side may not
        respond.
        """
        connection, self._connection = self._connection, None
        with suppress(Exception):
            connection.collect()


DELIVER = "flask_outbox.deliver"
"""The name of the task that delivers messages, given their ids."""

SWEEP = "flask_outbox.sweep"
"""The name of the task that has a courier look for messages without a task of their
own."""

DELIVER_WAIT_SECONDS = 10.0
"""How long a task waits for its messages at most: long enough to spread work over
processes, short enough for an app's time limits. Afterwards the courier still goes
on."""

MOST_IDS = 10_000
"""How many ids a task may have. Our own tasks have at most as many as a courier has
places."""

SWEEP_SECONDS = 5.0
"""How often a worker sends a sweep task, and after how long the task expires."""

_log = logging.getLogger("flask_outbox")


class JoinedApp(Protocol):
    """What the engine needs of a Flask app; an `AppState` has it."""

    @property
    def celery(self) -> Any:
        """The app's own Celery app; None if it has none."""

    @property
    def runtime(self) -> Runtime:
        """The app's runtime."""


_joined: weakref.WeakSet[JoinedApp] = weakref.WeakSet()
"""The apps of this process whose couriers run in Celery workers."""


def join(app: JoinedApp) -> None:
    """Let the tasks of this app's Celery app work on the app's outbox."""
    _joined.add(app)


def make_notifier(app: JoinedApp, runtime: Runtime) -> WakeupNotifier:
    """The notifier that sends tasks for the messages that an app enqueues.

    Raises `ConfigError` for an app without a Celery app.
    """
    celery = app.celery
    if celery is None:
        raise ConfigError(
            "OUTBOX_ENGINE = 'celery' needs the app's own Celery app, but "
            "app.extensions['celery'] is missing: call celery_init_app(app), as in "
            "Flask's documentation (Background Tasks with Celery)."
        )
    tasks = TaskSender(celery)
    places = runtime.settings.concurrency

    def publish(ids: Sequence[str]) -> None:
        """Send tasks with at most as many ids as a courier has places."""
        for start in range(0, len(ids), places):
            tasks.send(DELIVER, list(ids[start : start + places]))

    return BatchingNotifier(publish, runtime.sender)


def _runtimes(celery: Any) -> list[Runtime]:
    return [one.runtime for one in list(_joined) if one.celery is celery]


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
    """Deliver those of these messages that can leave now, and wait until they have
    left.

    Anyone who can write to the broker can send any arguments: what is not a list of ids
    is refused and logged.
    """
    ids = _ids(given, named)
    if ids is None:
        _log.warning(
            "Refused a task %s without valid message ids: check who else writes to "
            "this broker.",
            DELIVER,
        )
        return
    for one in _served_by(task.app):
        one.deliver(ids, DELIVER_WAIT_SECONDS)


def _ids(given: tuple[object, ...], named: dict[str, object]) -> list[str] | None:
    """The ids in a task's arguments without repetitions; None if they are anything
    else.
    """
    if named or len(given) != 1 or not isinstance(given[0], list | tuple):
        return None
    found = given[0]
    if len(found) > MOST_IDS or not all(isinstance(one, str) for one in found):
        return None
    return list(dict.fromkeys(found)) if all(map(is_id, found)) else None


def _sweep(task: Any, *given: object, **named: object) -> None:
    """Start a courier in this process if there is none, and have it look for
    messages.
    """
    if given or named:
        _log.warning(
            "The broker brought a task %s with arguments: it was refused.", SWEEP
        )
        return
    for one in _served_by(task.app):
        one.sweep()


_OPTIONS = {"bind": True, "ignore_result": True, "acks_late": False}
"""Ours are acknowledged early, whatever options an app sets for its own tasks: the
outbox has the messages."""

shared_task(_deliver, name=DELIVER, **_OPTIONS)
shared_task(_sweep, name=SWEEP, **_OPTIONS)


# Workers

_sweeping: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
"""For each Celery app's worker, the entry in its timer that sends sweep tasks."""


def _ready(sender: Any, **_: Any) -> None:
    """Send a sweep task at intervals, if this worker takes our tasks.

    Called again each time the worker has connected to its broker.
    """
    celery = sender.app
    if not (_runtimes(celery) and _takes_our_tasks(sender)):
        return
    tasks = TaskSender(celery)

    def ring() -> None:
        with suppress(Exception):  # the worker itself logs that its broker is away
            tasks.send(SWEEP, expires=SWEEP_SECONDS)

    if celery in _sweeping:
        sender.timer.cancel(_sweeping[celery])
    ring()
    _sweeping[celery] = sender.timer.call_repeatedly(SWEEP_SECONDS, ring)


def _takes_our_tasks(worker: Any) -> bool:
    """Whether a worker consumes the queue that our tasks are routed to."""
    queue = worker.app.amqp.router.route({}, SWEEP).get("queue")
    return queue is None or bool(worker.task_consumer.consuming_from(queue.name))


def _ends(**_: Any) -> None:
    """Stop the courier of a worker's process, or of the worker itself."""
    for one in list(_joined):
        one.runtime.stop()


signals.worker_ready.connect(_ready)
signals.worker_process_shutdown.connect(_ends)
signals.worker_shutdown.connect(_ends)
