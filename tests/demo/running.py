"""The demo as a process of its own, and what a person could ask it."""

from __future__ import annotations

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

from tests.waiting import eventually

END_SECONDS = 40.0
"""The grace time, and what a busy machine needs beside it."""

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
        assert "Ctrl-C ends it." in self.said, self.said + self.log
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
        """What it has written to its standard error."""
        return self._log.read_text()

    def connect(self) -> HTTPConnection:
        """A connection of the caller's own, such as a browser opens ahead."""
        return HTTPConnection(urlsplit(self.address).netloc, timeout=END_SECONDS)

    def ask(self, method: str, path: str, **form: object) -> Answer:
        """One request, on a connection of its own."""
        with closing(self.connect()) as http:
            return ask(http, method, path, **form)

    def send(self) -> str:
        """Press *Send*; return the path of the mail's story."""
        answer = self.ask("POST", "/send-email")
        assert (answer.status, answer.text) == (202, "Email sending started!")
        return answer.headers["Location"]

    def behave(self, behaviour: str, **more: object) -> None:
        """Make the SMTP server behave so."""
        answer = self.ask("POST", "/server", behaviour=behaviour, **more)
        assert answer.status == 204, answer.text

    def now(self) -> Any:
        """What the page shows beside the story."""
        return self.ask("GET", "/now").json

    def story(self, path: str) -> Any:
        """The story of one mail."""
        return self.ask("GET", path).json

    def story_when(self, path: str, **wanted: object) -> Any:
        """The story, once it says what is wanted of it."""

        def look() -> Any:
            story = self.story(path)
            return story if story.items() >= wanted.items() else None

        return eventually(look, END_SECONDS)

    def tell_to_end(self, number: int = signal.SIGINT) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait_until_lit(self, path: str, **lights: str) -> None:
        """Return once the stages of the mail's way are lit so, or fail."""

        def lit() -> dict[str, str]:
            stages = self.story(path)["stages"]
            return {stage["name"]: stage["light"] for stage in stages}

        eventually(lambda: lit().items() >= lights.items(), END_SECONDS)

    def end(self, number: int = signal.SIGINT) -> int:
        """Tell it to end, and return its exit code once it has."""
        self.tell_to_end(number)
        return self.exit_code()

    def exit_code(self) -> int:
        """Wait until it has ended."""
        return self._process.wait(END_SECONDS)

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()


def ask(http: HTTPConnection, method: str, path: str, **form: object) -> Answer:
    """One request on a connection that may have been opened before."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
    http.request(method, path, urlencode(form) or None, headers)
    response = http.getresponse()
    text = response.read().decode()
    return Answer(response.status, text, dict(response.headers))


def happened(story: Any) -> str:
    """All that happened, a step on each line."""
    return "\n".join(row["what"] for row in story["rows"])
