"""A private Haraka, which logs the recipients of accepted mail and drops it.

It is looked for below `FOLDER`. To have it there::

    npm install --prefix ~/.cache/flask-outbox/haraka --no-package-lock Haraka@3.3.4
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from .ports import free_port
from .program import ServerProgram

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


class Haraka(ServerProgram):
    """The server."""

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()
        self._taken = self.folder / "taken"
        self._taken.touch()
        self._configure()

    @property
    def command(self) -> Iterable[str | Path]:
        """The command that runs it in the foreground."""
        return "node", _PROGRAM, "-c", self.folder

    @property
    def ports(self) -> Iterable[int]:
        """The ports that it listens on."""
        return (self.port,)

    @property
    def taken(self) -> list[str]:
        """The recipients of accepted mail, in order."""
        return self._taken.read_text().splitlines()

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
