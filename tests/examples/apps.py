"""Example apps as their READMEs start them: in their folder, by their commands."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.mail.site import url_of
from tests.process_models.kinds import PLAIN_FLASK
from tests.processes.running import ROOT
from tests.servers import JournalSmtp
from tests.servers.ports import free_port
from tests.waiting import WAIT_SECONDS, eventually

EXAMPLES = ROOT / "examples"

START_SECONDS, RUN_SECONDS = WAIT_SECONDS, 900.0
"""How long an app may take to answer, and a command to end, before the test fails."""

PATHS = {
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
}
"""Where the commands of this very virtual environment are found first."""

Page = tuple[int, str]
"""The status and the text of a response."""


def words_of(command: str) -> list[str]:
    """A command, whose ``flask`` knows no extensions' commands: it starts sooner."""
    first, *rest = shlex.split(command)
    return [*PLAIN_FLASK, *rest] if first == "flask" else [first, *rest]


class ExampleApp:
    """One example, with a database of its own; a context manager that kills it.

    Its mail goes to ``server``, and ``settings`` into its environment.
    """

    def __init__(
        self, name: str, folder: Path, server: JournalSmtp, **settings: str
    ) -> None:
        self.folder = EXAMPLES / name
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.settings = {
            "FLASK_RUN_PORT": str(self.port),
            "FLASK_SECRET_KEY": "secret",
            "FLASK_SQLALCHEMY_DATABASE_URI": f"sqlite:///{folder / 'example.db'}",
            "FLASK_MAIL_URL": url_of(server),
            **settings,
        }
        self._log = folder / "log"
        self._running = ExitStack()

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, **PATHS, **self.settings}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def command(self, beginning: str, **swapped: str) -> list[str]:
        """The one command of the README that begins so.

        Words of it may be ``swapped`` for others, as in ``100000="300"``.
        """
        lines = re.findall(
            r"^\$ (.*)$", (self.folder / "README.md").read_text(), re.MULTILINE
        )
        (command,) = [line for line in lines if line.startswith(beginning)]
        return [swapped.get(word, word) for word in words_of(command)]

    def run(self, beginning: str, typed: str = "", **swapped: str) -> str:
        """Run that command to its end; what it says."""
        return subprocess.run(
            self.command(beginning, **swapped),
            cwd=self.folder,
            env=self._environment,
            input=typed,
            capture_output=True,
            text=True,
            check=True,
            timeout=RUN_SECONDS,
        ).stdout

    def serve(self, beginning: str) -> None:
        """Run that command until `kill`; returns once it answers requests."""
        self.begin(beginning)
        eventually(self._answers, START_SECONDS)

    def begin(self, beginning: str) -> int:
        """Run that command until `kill`; its process's id."""
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                self.command(beginning),
                cwd=self.folder,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._running.callback(process.wait, START_SECONDS)
        self._running.callback(os.killpg, process.pid, signal.SIGKILL)
        return process.pid

    def kill(self) -> None:
        """Kill what serves, with no time to tidy up."""
        self._running.close()

    def page(self, path: str, **form: str) -> Page:
        """What is there, or what becomes of a form that is sent there."""
        url = urllib.parse.urljoin(self.address, path)
        body = urllib.parse.urlencode(form).encode() if form else None
        try:
            with urllib.request.urlopen(url, body, timeout=START_SECONDS) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def _answers(self) -> bool:
        try:
            return bool(self.page("/"))
        except OSError:
            return False
