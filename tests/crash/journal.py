"""Journals: lines that remain after a process ends in any way."""

from __future__ import annotations

import os
from pathlib import Path


class Journal:
    """A log of a process, by lines; several processes may write to one file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def note(self, *words: str) -> None:
        """Write a line, which outlasts this process."""
        os.write(self._file, (" ".join(words) + "\n").encode())

    def keep(self, *words: str) -> None:
        """Write a line and return once it is synced."""
        self.note(*words)
        os.fdatasync(self._file)


def read(path: Path) -> list[tuple[str, ...]]:
    """Every line of a journal, as words; [] if there is none."""
    if not path.exists():
        return []
    return [tuple(line.split()) for line in path.read_text().splitlines()]
