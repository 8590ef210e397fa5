"""An SMTP server in a process of its own, which outlives whatever a test kills."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.servers.journal_smtp import Mail, read_journal

ROOT = Path(__file__).parents[2]
PROGRAM = "from tests.servers.journal_smtp import main; main()"


class MailServer:
    """`JournalSmtp` in its own process; killed when the ``with`` block ends."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "--journal", str(journal)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        words = self._process.stdout.readline().split()
        self.url = f"smtp://{words[-1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def mails(self) -> list[Mail]:
        """All mails in its journal."""
        return read_journal(self._journal)
