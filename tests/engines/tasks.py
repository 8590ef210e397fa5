"""Reads the tasks in a broker, as anyone with access to it can."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from amqp.exceptions import NotFound
from kombu.connection import Connection


@dataclass(frozen=True)
class Task:
    """A task: its name, its arguments, and everything readable in it."""

    name: str
    arguments: list[Any]
    priority: int | None
    everything: str


def tasks(url: str, queue: str = "celery") -> list[Task]:
    """The tasks in a queue; they stay there."""
    with Connection(url) as connection:
        return list(_tasks(connection.channel(), queue))


def _tasks(channel: Any, queue: str) -> Iterator[Task]:
    try:
        while message := channel.basic_get(queue):
            body = message.body
            text = body if isinstance(body, str) else bytes(body).decode()
            yield Task(
                message.headers["task"],
                json.loads(text)[0],
                message.properties.get("priority"),
                f"{message.headers} {message.properties} {text}",
            )
    except NotFound:
        return
