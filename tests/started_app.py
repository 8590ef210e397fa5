"""An app that is started by commands in its folder, and looked at, as by a person."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.process_models.kinds import PLAIN_FLASK
from tests.processes.running import ROOT
from tests.servers.ports import free_port
from tests.waiting import WAIT_SECONDS

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


class StartedApp:
    """The app in ``folder``; a context manager that kills what was started.

    ``settings`` are in the environment of its commands. What those that were started
    say is in ``log``.
    """

    def __init__(self, folder: Path, log: Path, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.settings = {"FLASK_RUN_PORT": str(self.port), **settings}
        self._log = log
        self._running = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def execute(self, words: Sequence[str], typed: str = "") -> str:
        """Run a command to its end; what it says."""
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self._environment,
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, words: Sequence[str]) -> int:
        """Run a command until `kill`; its process's id."""
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                words,
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
        """Kill what was started, with no time to tidy up."""
        self._running.close()

    def page(self, path: str = "/", **form: str) -> Page:
        """What is there, or what becomes of a form that is sent there.

        Raises `OSError` while nobody answers.
        """
        url = urllib.parse.urljoin(self.address, path)
        body = urllib.parse.urlencode(form).encode() if form else None
        try:
            with urllib.request.urlopen(url, body, timeout=START_SECONDS) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def answers(self) -> bool:
        """Whether anybody answers there."""
        try:
            return bool(self.page())
        except OSError:
            return False

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, **PATHS, **self.settings}
