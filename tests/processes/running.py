"""Real processes under test: started, watched, ended, and never left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.mail.site import QUICK, url_of
from tests.servers import JournalSmtp
from tests.waiting import WAIT_SECONDS

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = WAIT_SECONDS
"""How long a process may take to begin or to end before the test fails."""


def settings_for(server: JournalSmtp, **changes: Any) -> dict[str, Any]:
    """Settings that lead to the server and leave tests nothing to wait for."""
    return {**QUICK, "MAIL_URL": url_of(server), **changes}


class Running:
    """A Python process in a folder of its own; a context manager that kills it.

    ``arguments`` are Python's own, and ``under`` is a command that runs it. Warnings
    are errors in it, and what it writes to stderr is kept in ``stderr.txt``.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        under: Sequence[str] = (),
        stdin: int = subprocess.DEVNULL,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        path = os.pathsep.join([str(ROOT), *sys.path])
        with (folder / "stderr.txt").open("a") as stderr:
            self.process = subprocess.Popen(
                [*under, sys.executable, "-W", "error", *arguments],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": path},
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,
            )
        self.began_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        assert self.process.stdout
        self.process.stdout.close()

    @property
    def stderr(self) -> str:
        """What the processes in this folder have complained about."""
        return (self.folder / "stderr.txt").read_text()

    def line(self) -> str:
        """The next line that it prints; fails when it ends instead."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, self.stderr
        return line.strip()

    def kill(self) -> None:
        """End it and its children as a power cut would, and return once it has."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_SECONDS)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self) -> str:
        """Wait for its end; what else it printed. Fails unless it ended well."""
        output, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        assert self.process.returncode == 0, self.stderr
        assert "Traceback" not in self.stderr, self.stderr
        return output


class Shop(Running):
    """`tests.processes.shop`, serving: what a browser would see of it."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        super().__init__(folder, "-m", "tests.processes.shop", json.dumps(config))
        self.address = self.line()

    def get(self, path: str) -> Any:
        """The answer to a GET, decoded where it is JSON."""
        return self._open(path, None)

    def send_email(self) -> dict[str, str]:
        """Call ``/send-email``; the receipt."""
        receipt: dict[str, str] = self._open("/send-email", b"")
        return receipt

    def send_emails(self, count: int) -> list[str]:
        """Call ``/send-email`` so often; the Message-IDs."""
        return [self.send_email()["message_id"] for _ in range(count)]

    def _open(self, path: str, body: bytes | None) -> Any:
        request = urllib.request.Request(self.address + path, body)
        try:
            response = urllib.request.urlopen(request, timeout=PATIENCE_SECONDS)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{error}: {self.stderr}") from None
        with response:
            content = response.read()
        is_json = response.headers.get_content_type() == "application/json"
        return json.loads(content) if is_json else content.decode()

    def median_seconds(self, path: str, times: int = 100) -> float:
        """How long the app takes to answer, in the middle of so many times."""
        return statistics.median(self._seconds(path) for _ in range(times))

    def _seconds(self, path: str) -> float:
        began = time.perf_counter()
        self._open(path, b"" if path == "/send-email" else None)
        return time.perf_counter() - began
