"""A Haraka of the tests' own, which writes down whom it took mail for and drops it.

It is looked for below `FOLDER`. To have it there::

    npm install --prefix ~/.cache/flask-outbox/haraka --no-package-lock Haraka@3.3.4
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from .ports import free_port

WAIT_SECONDS = 30.0
"""How long it may take to start and to end."""

FOLDER = Path(
    os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "flask-outbox", "haraka"
)
_PROGRAM = FOLDER / "node_modules" / "Haraka" / "bin" / "haraka"
_SHIPPED = FOLDER / "node_modules" / "Haraka" / "config"

_PLUGIN = """\
const fs = require('node:fs');
exports.hook_rcpt = (next) => next(OK);
exports.hook_queue = (next, connection) => {
  const to = connection.transaction.rcpt_to.map((one) => `${one.user}@${one.host}`);
  fs.appendFileSync('%s', to.join(' ') + '\\n');
  next(OK);
};
"""


def why_absent() -> str | None:
    """Why no Haraka can be started here, or None if one can."""
    if shutil.which("node") is None:
        return "node is not installed"
    return None if _PROGRAM.exists() else f"Haraka is not installed in {FOLDER}"


class Haraka:
    """The server; a context manager. Nothing of it is left afterwards."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="haraka-", dir="/tmp"))
        self.port = free_port()
        self._taken = self.folder / "taken"
        self._taken.touch()
        self._configure()

    @property
    def taken(self) -> list[str]:
        """For whom it took mail, a line each."""
        return self._taken.read_text().splitlines()

    def __enter__(self) -> Self:
        with (self.folder / "said").open("wb") as said:
            self._process = subprocess.Popen(
                ["node", _PROGRAM, "-c", self.folder],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_it_listens()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(WAIT_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _configure(self) -> None:
        for name in ("config", "plugins"):
            (self.folder / name).mkdir()
        config = self.folder / "config"
        shutil.copy(_SHIPPED / "connection.ini", config)
        (config / "smtp.ini").write_text(f"listen={self.host}:{self.port}\nnodes=0\n")
        (config / "plugins").write_text("taker\n")
        (config / "me").write_text("haraka.test\n")
        (config / "log.ini").write_text("[main]\nlevel=warn\n")
        (self.folder / "plugins" / "taker.js").write_text(_PLUGIN % self._taken)

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self.folder / "said").read_text()
                raise AssertionError(f"Haraka did not start: {said}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            socket.create_connection((self.host, self.port)).close()
        except ConnectionRefusedError:
            return False
        return True
