"""The demo as a process, and requests to it."""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from tests.waiting import WAIT_SECONDS, eventually

COMMAND = (sys.executable, "-m", "flask_outbox.demo")


@dataclass(frozen=True)
class Answer:
    """A response, read."""

    status: int
    text: str
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class RunningDemo:
    """A demo on a free port, killed at the end of the ``with`` block."""

    def __init__(self, log: Path, *arguments: str) -> None:
        self._log = log
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [*COMMAND, "--port", "0", *arguments],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={**os.environ, "TMPDIR": str(log.parent)},
            )
        assert self._process.stdout
        self.said = "".join(self._process.stdout.readline() for _ in range(4))
        assert "Ctrl-C stops it." in self.said, self.said + self.log
        self.address = self._said(r"at (http://127\.0\.0\.1:\d+/)")
        self.opens_at = self._said(r"at (http://\S+)")
        self.folder = Path(self._said(r"files are in (.+)\."))

    def _said(self, pattern: str) -> str:
        found = re.search(pattern, self.said)
        assert found, self.said
        return found[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def log(self) -> str:
        """Its standard error so far."""
        return self._log.read_text()

    def connect(self) -> HTTPConnection:
        """A connection for the caller, such as a browser opens in advance."""
        return HTTPConnection(urlsplit(self.address).netloc, timeout=WAIT_SECONDS)

    def ask(self, method: str, path: str, **form: object) -> Answer:
        """One request, on a connection of its own."""
        with closing(self.connect()) as http:
            return ask(http, method, path, **form)

    def send(self) -> str:
        """Press *Send*; returns the path of the mail's history."""
        answer = self.ask("POST", "/send-email")
        assert (answer.status, answer.text) == (202, "Email sending started!")
        return answer.headers["Location"]

    def behave(self, behaviour: str, **more: object) -> None:
        """Set the SMTP server's behaviour."""
        answer = self.ask("POST", "/server", behaviour=behaviour, **more)
        assert answer.status == 204, answer.text

    def now(self) -> Any:
        """What the page shows besides the history."""
        return self.ask("GET", "/now").json

    def history(self, path: str) -> Any:
        """The history of one mail."""
        return self.ask("GET", path).json

    def history_when(self, path: str, **wanted: object) -> Any:
        """The history, once it meets the condition."""

        def look() -> Any:
            history = self.history(path)
            return history if history.items() >= wanted.items() else None

        return eventually(look)

    def tell_to_end(self, number: int = signal.SIGINT) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def tell_a_thread_to_end(self) -> None:
        """Send it a signal that the system hands to another than its main thread."""
        main = self._process.pid
        threads = [int(path.name) for path in Path(f"/proc/{main}/task").iterdir()]
        other = max(threads)
        assert other != main
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.tgkill(main, other, signal.SIGINT) == 0, ctypes.get_errno()

    def wait_until_lit(self, path: str, **lights: str) -> None:
        """Return once these stages of the mail's way are lit, or fail."""

        def lit() -> dict[str, str]:
            stages = self.history(path)["stages"]
            return {stage["name"]: stage["state"] for stage in stages}

        eventually(lambda: lit().items() >= lights.items())

    def end(self, number: int = signal.SIGINT) -> int:
        """Send a signal, and return its exit code once it has ended."""
        self.tell_to_end(number)
        return self.exit_code()

    def exit_code(self) -> int:
        """Wait until it has ended."""
        return self._process.wait(WAIT_SECONDS)

    def kill(self) -> None:
        """Kill it (SIGKILL)."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()


def ask(http: HTTPConnection, method: str, path: str, **form: object) -> Answer:
    """A request on a connection that may be open already."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
    http.request(method, path, urlencode(form) or None, headers)
    response = http.getresponse()
    text = response.read().decode()
    return Answer(response.status, text, dict(response.headers))


def happened(history: Any) -> str:
    """All steps that happened, one on each line."""
    return "\n".join(row["what"] for row in history["rows"])
