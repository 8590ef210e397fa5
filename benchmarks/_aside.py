"""Runs one of our scripts as a server, in its own process."""

from __future__ import annotations

import subprocess
import sys
from typing import Self

END_SECONDS = 10.0
"""How long a server may take to end."""


class Aside:
    """Runs a script inside the ``with`` block; it prints its ``port``.

    The script ends when its standard input closes, also if the benchmark is killed.
    """

    def __init__(self, script: str, *arguments: str) -> None:
        self._command = [sys.executable, script, *arguments]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> str | None:
        """End the script; returns its last output. Only the first call returns it."""
        if self._process.stdout is None or self._process.stdout.closed:
            return None
        told, _ = self._process.communicate(timeout=END_SECONDS)
        return told
