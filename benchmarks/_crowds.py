"""Ways to send many mails: from the first hand-over until the last has arrived."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from _figures import Figures, in_turns
from _ways import MAIL, SENDER, Absent, Failed
from flask import Flask

import flask_outbox

FINISH_SECONDS = 300.0
"""How long sending all mails may take before the run fails."""

HANDING_OVER_THREADS = 8
"""As many threads as a web server's worker may have."""

POOL_THREADS = 16
CELERY_TASK = Path(__file__).with_name("_celery_task.py")


class Crowd(ABC):
    """One way to send many mails."""

    name: str

    @abstractmethod
    def send(self, mails: int) -> None:
        """Send this many; return once all are known to be sent."""

    def close(self) -> None:  # noqa: B027
        """Stop everything that it started."""


def in_threads(
    hand_over: Callable[[], object], mails: int, threads: int = HANDING_OVER_THREADS
) -> None:
    """Send this many, from as many threads as a web server's."""
    with ThreadPoolExecutor(threads) as pool:
        handed_over = [pool.submit(hand_over) for _ in range(mails)]
    for one in handed_over:
        one.result()


class OutboxCrowd(Crowd):
    """Flask-Outbox as it comes; *sent* means recorded so, durability full."""

    name = "mail.send()"

    def __init__(self, folder: Path, port: int, **config: object) -> None:
        app = Flask("benchmark")
        app.config.update(
            MAIL_URL=f"smtp://127.0.0.1:{port}",
            MAIL_DEFAULT_SENDER=SENDER,
            OUTBOX_URL=f"sqlite:///{folder / 'crowd.db'}",
            **config,
        )
        self._mail = flask_outbox.Mail(app)
        self._app = app

    def send(self, mails: int) -> None:
        in_threads(self._hand_over, mails)
        with self._app.app_context():
            drained = self._mail.drain(FINISH_SECONDS)
        if not drained:
            raise Failed("Mail is still in the outbox.")

    def _hand_over(self) -> None:
        self._mail.send(flask_outbox.Message(**MAIL))

    def close(self) -> None:
        self._mail.stop()


class FlaskMailCrowd(Crowd):
    """Flask-Mail, all mails over one connection."""

    name = "Flask-Mail, one connection"

    def __init__(self, port: int) -> None:
        try:
            import flask_mail
        except ImportError as error:
            raise Absent("pip install -r requirements/bench.txt") from error
        self._message = flask_mail.Message
        self._app = Flask("benchmark")
        self._app.config.update(
            MAIL_SERVER="127.0.0.1", MAIL_PORT=port, MAIL_DEFAULT_SENDER=SENDER
        )
        self._mail = flask_mail.Mail(self._app)

    def send(self, mails: int) -> None:
        with self._app.app_context(), self._mail.connect() as connection:
            for _ in range(mails):
                connection.send(self._message(**MAIL))

    def _send_one(self) -> None:
        with self._app.app_context():
            self._mail.send(self._message(**MAIL))


class ThreadCrowd(FlaskMailCrowd):
    """The usual advice: a thread with a connection of its own for each mail."""

    name = "a thread for each mail"

    def send(self, mails: int) -> None:
        threads = [threading.Thread(target=self._send_one) for _ in range(mails)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(FINISH_SECONDS)


class PoolCrowd(FlaskMailCrowd):
    """A pool of threads."""

    name = f"a pool of {POOL_THREADS} threads"

    def send(self, mails: int) -> None:
        with ThreadPoolExecutor(POOL_THREADS) as threads:
            sent = [threads.submit(self._send_one) for _ in range(mails)]
        for one in sent:
            one.result()


class CeleryCrowd(Crowd):
    """A task for each mail, through a broker to a worker that sends by Flask-Mail.

    Tasks say in Redis that they are done; ``broker`` is another than that Redis.
    """

    def __init__(
        self,
        redis_url: str,
        port: int,
        pool: str,
        concurrency: int,
        broker: str | None = None,
    ) -> None:
        try:
            import redis
            from _celery_task import make_task

            self._redis = redis.Redis.from_url(redis_url, socket_timeout=None)
            self._redis.ping()
        except ImportError as error:
            raise Absent("pip install -r requirements/bench.txt") from error
        except redis.RedisError as error:
            raise Absent(f"no Redis answers at {redis_url} ({error})") from error
        self.name = f"Celery, {concurrency} {pool}"
        self._prefix = f"flask-outbox-benchmark-{os.getpid()}-{pool}-"
        self._task = make_task(broker or redis_url, redis_url, self._prefix, port)
        self._worker = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "-A", "_celery_task", "worker"),
                *(f"--pool={pool}", f"--concurrency={concurrency}"),
                *("--loglevel=ERROR", "--without-gossip", "--without-mingle"),
                f"--hostname=peer-{pool}@%h",
            ],
            cwd=CELERY_TASK.parent,
            env={
                **os.environ,
                "TASK_BROKER": broker or redis_url,
                "TASK_REDIS": redis_url,
                "TASK_PREFIX": self._prefix,
                "TASK_PORT": str(port),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def send(self, mails: int) -> None:
        done = f"{self._prefix}done"
        self._redis.delete(done)
        in_threads(self._task.delay, mails)
        for _ in range(mails):
            if self._redis.blpop([done], timeout=int(FINISH_SECONDS)) is None:
                raise Failed("A task has not ended.")

    def close(self) -> None:
        self._worker.terminate()
        self._worker.wait(30)
        celery = self._task.app
        with celery.connection() as connection:
            connection.default_channel.queue_delete(celery.conf.task_default_queue)
        for key in self._redis.scan_iter(match=f"{self._prefix}*"):
            self._redis.delete(key)
        self._redis.close()


Maker = Callable[[int], Crowd]
"""Makes a crowd that sends to the server on a port; raises `Absent`."""


def open_crowds(makers: Sequence[Maker], port: int, stack: ExitStack) -> list[Crowd]:
    """The ways that can be measured here; prints why others cannot. ``stack`` closes
    them.
    """
    crowds = []
    for make in makers:
        try:
            crowd = make(port)
        except Absent as reason:
            print(f"not measured: {reason}")
        else:
            stack.callback(crowd.close)
            crowds.append(crowd)
    return crowds


def time_crowds(crowds: Sequence[Crowd], rounds: int, mails: int) -> dict[str, Figures]:
    """How long each takes for this many mails, in turns, after a warm-up."""
    samples: dict[str, list[list[float]]] = {crowd.name: [] for crowd in crowds}
    for crowd in crowds:
        crowd.send(20)
    for number in range(rounds):
        for crowd in in_turns(crowds, number):
            began = time.perf_counter()
            crowd.send(mails)
            samples[crowd.name].append([time.perf_counter() - began])
    return {name: Figures.of(taken) for name, taken in samples.items()}
