"""A real server under test: started, asked, signalled, and never left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from tests.waiting import eventually

from .kinds import Kind

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60.0
"""How long a server may take to begin, to answer or to end before the test fails."""


class Program:
    """A process and all that it starts, in a folder; a context manager that kills them.

    ``config`` is the app's. What they print is kept in ``log.txt``.
    """

    def __init__(
        self, command: tuple[str, ...], folder: Path, config: Mapping[str, Any]
    ) -> None:
        folder.mkdir(exist_ok=True)
        self._log = folder / "log.txt"
        self._log_began = self._log.stat().st_size if self._log.exists() else 0
        path = os.pathsep.join([str(ROOT), *sys.path])
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={
                    **os.environ,
                    "PYTHONPATH": path,
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

    def __exit__(self, *_: object) -> None:
        self.kill()
        assert self.process.stdin
        self.process.stdin.close()

    @property
    def log(self) -> str:
        """What it and all that it started have printed."""
        return self._log.read_text()[self._log_began :]

    def wait(self) -> int:
        """Its exit code, once it and all that it started have ended."""
        try:
            code = self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end: {self.log}") from None
        eventually(lambda: not _living(self.process.pid))
        return code

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self.process.send_signal(number)

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the process and all that it started, as a terminal does."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """End all of it as a power cut would, and return once it is gone."""
        self.signal_all(signal.SIGKILL)
        self.wait()


class Serving(Program):
    """A server of some kind, serving the app."""

    def __init__(self, kind: Kind, folder: Path, config: Mapping[str, Any]) -> None:
        super().__init__(kind.command, folder, config)
        self.kind = kind

    @property
    def address(self) -> str:
        """Where it serves, once its log says so."""
        found = eventually(self._listening, PATIENCE_SECONDS)
        return f"http://{found[0]}"

    def _listening(self) -> re.Match[str] | None:
        assert self.process.poll() is None, self.log
        return re.search(r"127\.0\.0\.1:[1-9]\d*", self.log)

    def ping(self) -> str:
        """Have some worker answer; its process id."""
        return self._open("/ping", None)

    def send_emails(self, count: int) -> list[str]:
        """Have so many mails sent, one after the other; their Message-IDs."""
        return [self._open("/send-email", b"") for _ in range(count)]

    def _open(self, path: str, body: bytes | None) -> str:
        request = urllib.request.Request(self.address + path, body)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
                answer: bytes = response.read()
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            raise AssertionError(f"{error}: {self.log}") from error
        return answer.decode()


def _living(group: int) -> list[int]:
    """The processes of a group that have not ended."""
    return [
        int(stat.parent.name)
        for stat in Path("/proc").glob("[0-9]*/stat")
        if _is_living_in(group, stat)
    ]


def _is_living_in(group: int, stat: Path) -> bool:
    """Fields 3 and 5 of ``/proc/PID/stat``, see proc(5)."""
    try:
        state, _parent, its_group, *_ = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return state not in "ZX" and int(its_group) == group
