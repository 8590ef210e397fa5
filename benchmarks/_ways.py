"""Ways to hand a mail over in a view: Flask-Outbox, a bare commit, and the peers."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from flask import Flask

import flask_outbox
from flask_outbox.mime import compose

SENDER = "shop@example.com"
MAIL: dict[str, Any] = {
    "subject": "Your order 4711 is on its way",
    "recipients": ["ada@example.org"],
    "body": "Hello Ada,\n\nyour order 4711 left our house today.\n\nThe shop\n",
    "html": "<p>Hello Ada,</p>\n<p>your order <b>4711</b> left our house today.</p>\n"
    "<p>The shop</p>\n",
}
ARRIVAL_SECONDS = 60.0
"""How long mail may take to arrive, or threads to end, between two stretches."""

REST_SECONDS = 0.06
"""How long a courier goes on after the last mail: it writes late events down."""


class Absent(Exception):
    """A peer that cannot be measured here: why, and what to do."""


class Failed(Exception):
    """Something failed, so that the figures mean nothing."""


class Way(ABC):
    """One way to hand a mail over, used and timed in the view of an app."""

    name: str
    arrives = False
    """Whether all of its mail must have arrived at the server at the end."""

    def __init__(self, **config: object) -> None:
        self.app = Flask("benchmark")
        self.app.config.update(PROPAGATE_EXCEPTIONS=True, **config)
        self.app.add_url_rule("/send-email", view_func=self._view, methods=["POST"])
        self.handed_over = 0
        self._client = self.app.test_client()
        self._wanted = 0
        self._seconds: list[float] = []

    def stretch(self, mails: int, pace_seconds: float) -> list[float]:
        """How long each of ``mails`` takes: a request each, ``pace_seconds`` from one
        to the next, or without a pace all in one request."""
        self._seconds = []
        if not pace_seconds:
            self._request(mails)
            return self._seconds
        for _ in range(mails):
            next_at = time.perf_counter() + pace_seconds
            self._request(1)
            time.sleep(max(0.0, next_at - time.perf_counter()))
        return self._seconds

    def _request(self, mails: int) -> None:
        self._wanted = mails
        self._client.post("/send-email", buffered=True)

    def _view(self) -> tuple[str, int]:
        for _ in range(self._wanted):
            mail = self.compose()
            began = time.perf_counter()
            self.hand_over(mail)
            self._seconds.append(time.perf_counter() - began)
        self.handed_over += self._wanted
        return "Email sending started!", 202

    @abstractmethod
    def compose(self) -> Any:
        """The argument of `hand_over`; not timed."""

    @abstractmethod
    def hand_over(self, mail: Any) -> None:
        """What is timed: the call that the view waits for."""

    def settle(self) -> None:  # noqa: B027
        """Return once it does nothing more in the background."""

    def close(self) -> None:  # noqa: B027
        """Stop everything that it started."""


class RawCommit(Way):
    """The floor: the same bytes in one row of one table, and nothing else."""

    name = "raw sqlite3 commit"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._bytes = compose(flask_outbox.Message(**MAIL, sender=SENDER)).content
        self._connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
        for statement in (
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "CREATE TABLE mail (id INTEGER PRIMARY KEY, content BLOB NOT NULL)",
        ):
            self._connection.execute(statement)

    def compose(self) -> bytes:
        return self._bytes

    def hand_over(self, mail: bytes) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        execute("INSERT INTO mail (content) VALUES (?)", (mail,))
        execute("COMMIT")

    def close(self) -> None:
        self._connection.close()


class Outbox(Way):
    """Flask-Outbox as it comes: a durable outbox, and a courier in this process."""

    name = "mail.send()"
    arrives = True

    def __init__(self, folder: Path, port: int, **config: object) -> None:
        super().__init__(
            MAIL_URL=f"smtp://127.0.0.1:{port}",
            MAIL_DEFAULT_SENDER=SENDER,
            OUTBOX_URL=f"sqlite:///{folder / type(self).__name__}.db",
            **config,
        )
        self._mail = flask_outbox.Mail(self.app)

    def compose(self) -> flask_outbox.Message:
        return flask_outbox.Message(**MAIL)

    def hand_over(self, mail: flask_outbox.Message) -> None:
        self._mail.send(mail)

    def settle(self) -> None:
        if not self._mail.drain(ARRIVAL_SECONDS):
            raise Failed(f"Mail is still in the outbox after {ARRIVAL_SECONDS:.0f} s.")
        time.sleep(REST_SECONDS)

    def close(self) -> None:
        self._mail.stop()


class OutboxExternal(Outbox):
    """Flask-Outbox whose couriers are in other processes; here none runs."""

    name = "mail.send(), another process delivers"
    arrives = False

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder, port, OUTBOX_ENGINE="external")

    def settle(self) -> None:
        time.sleep(REST_SECONDS)


class OutboxHanging(Outbox):
    """Flask-Outbox with a server that accepts connections and never replies."""

    name = "mail.send(), server hanging"
    arrives = False

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder, port, OUTBOX_GRACE_SECONDS=1)

    def settle(self) -> None:
        time.sleep(REST_SECONDS)


class FlaskMail(Way):
    """Flask-Mail with its defaults: the view waits for the whole conversation."""

    name = "Flask-Mail mail.send()"
    arrives = True

    def __init__(self, port: int) -> None:
        try:
            import flask_mail
        except ImportError as error:
            raise Absent(_to_install("Flask-Mail")) from error
        super().__init__(
            MAIL_SERVER="127.0.0.1", MAIL_PORT=port, MAIL_DEFAULT_SENDER=SENDER
        )
        self._message = flask_mail.Message
        self._mail = flask_mail.Mail(self.app)

    def compose(self) -> Any:
        return self._message(**MAIL)

    def hand_over(self, mail: Any) -> None:
        self._mail.send(mail)


class FlaskMailThread(FlaskMail):
    """The usual advice: Flask-Mail in its own thread for each mail."""

    name = "Thread(target=...).start()"

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._threads: list[threading.Thread] = []

    def hand_over(self, mail: Any) -> None:
        thread = threading.Thread(target=self._send, args=(mail,))
        thread.start()
        self._threads.append(thread)

    def _send(self, mail: Any) -> None:
        with self.app.app_context():
            self._mail.send(mail)

    def settle(self) -> None:
        for thread in self._threads:
            thread.join(ARRIVAL_SECONDS)
        self._threads.clear()


class CeleryDelay(Way):
    """A task with the same mail, in a Redis on this machine; no worker runs."""

    name = "Celery .delay()"

    def __init__(self, redis_url: str) -> None:
        try:
            import redis
            from celery import Celery
        except ImportError as error:
            raise Absent(_to_install("celery[redis]")) from error
        self._redis = redis.Redis.from_url(redis_url)
        try:
            self._redis.ping()
        except redis.RedisError as error:
            raise Absent(
                f"no Redis answers at {redis_url} ({error}): start one, or name "
                "another with --redis"
            ) from error
        super().__init__()
        self._prefix = f"flask-outbox-benchmark-{os.getpid()}-"
        celery = Celery("benchmark", broker=redis_url)
        celery.conf.task_ignore_result = True
        celery.conf.broker_transport_options = {"global_keyprefix": self._prefix}
        self._celery = celery
        self._task = celery.task(_send_email, name="send_email")

    def compose(self) -> dict[str, Any]:
        return {**MAIL, "sender": SENDER}

    def hand_over(self, mail: dict[str, Any]) -> None:
        self._task.delay(**mail)

    def settle(self) -> None:
        for key in self._redis.scan_iter(match=f"{self._prefix}*"):
            self._redis.delete(key)

    def close(self) -> None:
        self._celery.close()
        self.settle()
        self._redis.close()


def _send_email(**mail: Any) -> None:
    """The task; no worker runs it."""


def _to_install(name: str) -> str:
    return f"{name} is not installed: pip install -r requirements/bench.txt"
