"""A real server under test, which is started, called, signalled and always ended."""

from __future__ import annotations

import itertools
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, Signals
from typing import Any, Self

from tests.waiting import WAIT_SECONDS, eventually

from .kinds import Kind

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = WAIT_SECONDS
"""How long a server may take to begin, to answer or to end before the test fails."""

_numbers = itertools.count(1)


class Program:
    """A process with its children, in a folder; a context manager that kills them.

    ``config`` is the app's. Their output is in ``log``.
    """

    def __init__(
        self, command: Iterable[str], folder: Path, config: Mapping[str, Any]
    ) -> None:
        folder.mkdir(exist_ok=True)
        self._file = folder / f"{next(_numbers)}.log"
        with self._file.open("w") as log:
            self.process = subprocess.Popen(
                [*command],
                cwd=folder,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
                    "APP_CONFIG": json.dumps(config),
                },
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self.kill()
        if error is not None:
            error.add_note(f"it printed: {self.log}")
        assert self.process.stdin
        self.process.stdin.close()

    @property
    def log(self) -> str:
        """The output of the process and its children."""
        return self._file.read_text()

    def end(self) -> int:
        """Its exit code, once it and its children have ended."""
        try:
            code = self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end: {self.log}") from None
        eventually(lambda: not _living(self.process.pid))
        return code

    def signal(self, number: Signals) -> None:
        """Send a signal to the process, as a supervisor does."""
        self.process.send_signal(number)

    def signal_all(self, number: Signals) -> None:
        """Send a signal to the process and its children, as a terminal does."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def seconds_to_end(self, number: Signals) -> float:
        """How long it takes to end after the signal."""
        began = time.monotonic()
        self.signal(number)
        self.end()
        return time.monotonic() - began

    def kill(self) -> None:
        """Kill the process and its children, and return once they are gone."""
        self.signal_all(SIGKILL)
        self.end()


class Serving(Program):
    """A server of some kind, serving the app."""

    def __init__(self, kind: Kind, folder: Path, config: Mapping[str, Any]) -> None:
        super().__init__(kind.command, folder, config)
        self._address = ""
        self._kind = kind
        self._asked = 0
        self.workers: set[int] = set()
        """The processes that have answered so far."""

    def ping(self) -> None:
        """Make a request that sends nothing."""
        self._ask("GET", "/ping")

    def send_emails(self, count: int) -> list[str]:
        """Have ``count`` mails sent one after another; returns their Message-IDs."""
        return [self._ask("POST", "/send-email")["message_id"] for _ in range(count)]

    def seconds_to_end(self, number: Signals) -> float:
        """How long it takes to end after the signal, when all requests are over.

        A worker of uWSGI that is still in one, though it has answered, ends on the
        spot: it calls no exit handlers.
        """
        over = self._kind.says_that_requests_are_over
        if over is not None:
            eventually(lambda: self.log.count(over) == self._asked)
        return super().seconds_to_end(number)

    def _ask(self, method: str, path: str) -> Any:
        self._address = self._address or eventually(self._listening, PATIENCE_SECONDS)
        host, _, port = self._address.partition(":")
        try:
            answer = json.loads(_answer(host, int(port), f"{method} {path}"))
        except (OSError, ValueError) as error:
            raise AssertionError(f"{error!r}: {self.log}") from error
        self._asked += 1
        self.workers.add(answer["process"])
        return answer

    def _listening(self) -> str:
        """Where it listens, once its log says so."""
        assert self.process.poll() is None, self.log
        found = re.search(r"127\.0\.0\.1:[1-9]\d*", self.log)
        return found.group() if found else ""


def _answer(host: str, port: int, request: str) -> bytes:
    """The body of the answer to a request, once the server has closed the connection.

    Until then it is not done with the request: a signal that reaches gunicorn's gthread
    while it hands the connection to a thread makes it wait for itself.
    """
    with socket.create_connection((host, port), PATIENCE_SECONDS) as connection:
        connection.sendall(f"{request} HTTP/1.0\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return answer.partition(b"\r\n\r\n")[2]


def _living(group: int) -> list[str]:
    """The processes of a group that have not ended."""
    stats = Path("/proc").glob("[0-9]*/stat")
    return [stat.parent.name for stat in stats if _is_living_in(group, stat)]


def _is_living_in(group: int, stat: Path) -> bool:
    """By fields 3 and 5 of ``/proc/PID/stat``, see proc(5)."""
    try:
        state, _parent, its_group, *_ = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return state not in "ZX" and int(its_group) == group
