"""A shop whose ``flask outbox`` runs in this process or in others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from click.testing import Result

from flask_outbox import MessageRecord
from flask_outbox.message import Message
from flask_outbox.outbox import Outbox
from flask_outbox.runtime import Runtime
from tests.cli.app import create_app, mail
from tests.waiting import WAIT_SECONDS

ROOT = Path(__file__).parents[2]
APP = Path(__file__).with_name("app.py")

PATIENCE_SECONDS = WAIT_SECONDS
"""How long processes may take to start or end on a busy machine."""


class Shop:
    """An app and its command line. ``config`` applies to both kinds of process."""

    def __init__(self, **config: Any) -> None:
        self.config = config
        self.app = create_app(**config)

    @property
    def runtime(self) -> Runtime:
        """The app's runtime in this process."""
        runtime: Runtime = self.app.extensions["outbox"].runtime
        return runtime

    @property
    def outbox(self) -> Outbox:
        """The outbox that the commands use."""
        return self.runtime.outbox

    def post(self) -> str:
        """Have the view send a mail; returns its id."""
        with self.app.test_client().post("/send-email") as response:
            assert response.status_code == 202
            return str(response.get_json()["id"])

    def send(self, *recipients: str, subject: str = "Hello", **options: Any) -> str:
        """Send a mail from a script; returns its id."""
        with self.app.app_context():
            message = Message(subject, list(recipients) or ["ada@example.org"], "Hello")
            return mail.send(message, **options).id

    def get(self, id: str) -> MessageRecord:
        """The current record of a message."""
        return self.outbox.get(id)

    def run(self, *arguments: str, code: int = 0, columns: int = 100) -> Result:
        """Run ``flask outbox`` here; fails unless the exit code is this, without
        traceback.
        """
        result = self.app.test_cli_runner().invoke(
            args=["outbox", *arguments], env={"COLUMNS": str(columns)}
        )
        assert result.exit_code == code, (result.output, result.exception)
        assert isinstance(result.exception, SystemExit | None), result.exception
        return result

    def document(self, *arguments: str, code: int = 0) -> Any:
        """The one JSON document that a command prints with ``--json``."""
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def deliver(self) -> Result:
        """Deliver all that is due."""
        return self.run("worker", "--until-drained")

    @contextmanager
    def process(self, *arguments: str, **streams: Any) -> Iterator[Process]:
        """``flask outbox`` in a new process, which is killed at the end."""
        settings = {
            f"FLASK_{name}": value if isinstance(value, str) else json.dumps(value)
            for name, value in self.config.items()
        }
        path = os.pathsep.join([str(ROOT), *sys.path])
        environment = {**os.environ, "PYTHONPATH": path, **settings}
        process = Process(arguments, environment, **streams)
        try:
            yield process
        finally:
            process.end()

    def close(self) -> None:
        """Close the outbox in this process."""
        self.runtime.stop()
        self.outbox.database.close()


class Process:
    """A running ``flask outbox``, whose standard error is read line by line."""

    def __init__(
        self, arguments: tuple[str, ...], environment: dict[str, str], **streams: Any
    ) -> None:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        flask = [sys.executable, "-m", "tests.plain_flask", "--app", str(APP)]
        self._running = subprocess.Popen(
            [*flask, "outbox", *arguments],
            env=environment,
            text=True,
            **{**pipes, **streams},
        )
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, args=[self._running.stderr])
        self._reader.start()

    def _read(self, stream: IO[str] | None) -> None:
        for line in stream or ():
            with self._news:
                self._lines.append(line)
                self._news.notify_all()

    @property
    def said(self) -> str:
        """Its standard error so far."""
        with self._news:
            return "".join(self._lines)

    def wait_for(self, text: str) -> None:
        """Return once a line of standard error contains ``text``, or fail."""
        with self._news:
            if not self._news.wait_for(
                lambda: any(text in line for line in self._lines), PATIENCE_SECONDS
            ):
                raise AssertionError(f"{text!r} was not said: {''.join(self._lines)}")

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._running.send_signal(number)

    def ended(self, code: int = 0) -> str:
        """Wait for it to end with this exit code; returns its standard output."""
        present = self._running.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        assert present == code, self.said
        assert "Traceback" not in self.said, self.said
        return self._running.stdout.read() if self._running.stdout else ""

    def end(self) -> None:
        """Kill it if it still runs, and close its pipes."""
        self._running.kill()
        self._running.wait()
        self._reader.join()
        for stream in (self._running.stdout, self._running.stderr):
            if stream is not None:
                stream.close()
