"""The engines as ways to send: an app that only enqueues, and workers that deliver."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _crowds import FINISH_SECONDS, Crowd, in_threads
from _engine_app import CONFIG, make_app
from _server import Database
from _ways import MAIL, SENDER, Failed

import flask_outbox

HERE = Path(__file__).parent
END_SECONDS = 30.0


class EngineCrowd(Crowd):
    """Flask-Outbox with one engine, on PostgreSQL; *sent* means recorded so.

    ``worker`` is the command whose process delivers, after ``python -m``.
    """

    def __init__(
        self,
        name: str,
        database: Database,
        port: int,
        config: dict[str, Any],
        worker: Sequence[str] = (),
    ) -> None:
        self.name = name
        self._database = database
        config = {
            "MAIL_URL": f"smtp://127.0.0.1:{port}",
            "MAIL_DEFAULT_SENDER": SENDER,
            "OUTBOX_URL": database.url.render_as_string(hide_password=False),
            **config,
        }
        self._environment = {**os.environ, CONFIG: json.dumps(config)}
        self._run("flask", "--app", "_engine_app", "outbox", "init")
        self._app = make_app(config)
        self._mail = flask_outbox.Mail()
        self._worker = self._start(worker) if worker else None

    def send(self, mails: int) -> None:
        in_threads(self.hand_over, mails)
        self.settle()

    def hand_over(self) -> float:
        """Send a mail; returns how many seconds that took."""
        message = flask_outbox.Message(**MAIL)
        with self._app.app_context():
            began = time.perf_counter()
            self._mail.send(message)
            return time.perf_counter() - began

    def settle(self) -> None:
        """Return once nothing is due or being delivered."""
        with self._app.app_context():
            drained = self._mail.drain(FINISH_SECONDS)
        if not drained:
            raise Failed(f"{self.name}: mail is still in the outbox.")

    def close(self) -> None:
        if self._worker is not None:
            self._worker.terminate()
            self._worker.wait(END_SECONDS)
        with self._app.app_context():
            self._mail.stop()
        self._app.extensions["outbox"].runtime.outbox.database.close()
        self._database.close()

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=HERE, env=self._environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise Failed(f"{' '.join(command)}: {done.stderr}")

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=HERE,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def external(processes: int) -> list[str]:
    """The command of our workers."""
    worker = ["flask", "--app", "_engine_app", "outbox", "worker"]
    return [*worker, f"--processes={processes}"]


def celery_worker(concurrency: int) -> list[str]:
    """The command of a Celery worker with this many processes."""
    return [
        *("celery", "-A", "_engine_app.celery", "worker", "--pool=prefork"),
        *(f"--concurrency={concurrency}", "--loglevel=ERROR"),
        *("--without-gossip", "--without-mingle", "--hostname=outbox@%h"),
    ]
