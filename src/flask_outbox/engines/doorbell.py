"""Doorbell: sends our tasks to the broker of the app's Celery app."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

CONNECT_SECONDS = 2
"""How long the broker may take to accept a connection."""

ANSWER_SECONDS = 3
"""How long it may take to confirm a task."""

_OPTIONS: dict[str, dict[str, Any]] = {
    "amqp": {"confirm_publish": True},
    "redis": {
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
    },
}
"""What makes each broker confirm within the time; the app's own options come first."""


class Doorbell:
    """Sends tasks over a connection of its own, which fails early. For one thread.

    Celery's own connections may wait for a broker for as long as the app likes. Nobody
    waits for this one, and it is to be known soon that the broker is away.
    """

    def __init__(self, celery: Any) -> None:
        self._celery = celery
        self._connection: Any = None
        self._producer: Any = None
        self._pid = 0

    def ring(self, task: str, *args: Any, **options: Any) -> None:
        """Return once the broker has the task; raises what the broker's client raises.

        ``options`` are Celery's own. A connection may have lain idle until somebody
        closed it: then this tries once more on a new one.
        """
        kept = self._connection is not None and self._pid == os.getpid()
        if not kept:
            self._connect()
        try:
            self._send(task, args, options)
        except Exception:
            self._hang_up()
            if not kept:
                raise
            self.ring(task, *args, **options)

    def _connect(self) -> None:
        connection = self._celery.connection_for_write(connect_timeout=CONNECT_SECONDS)
        options = _OPTIONS.get(connection.transport.driver_type, {})
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

    def _hang_up(self) -> None:
        """Drop the connection without a word: the other side may not listen."""
        connection, self._connection = self._connection, None
        with suppress(Exception):
            connection.collect()
