"""Journals: lines that a process leaves behind, however it ends."""

from __future__ import annotations

import os
from pathlib import Path


class Journal:
    """What a process has to say, a line at a time; several may write to one file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def note(self, *words: str) -> None:
        """Write a line, which the end of this process cannot take back."""
        os.write(self._file, (" ".join(words) + "\n").encode())

    def keep(self, *words: str) -> None:
        """Write a line and return once it is on the disk."""
        self.note(*words)
        os.fdatasync(self._file)


def read(path: Path) -> list[tuple[str, ...]]:
    """Every line of a journal, as words; [] if there is none."""
    if not path.exists():
        return []
    return [tuple(line.split()) for line in path.read_text().splitlines()]
