"""CSV files from people: read row by row, each fault told by its place."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class Unreadable(Exception):
    """The file as a whole is not what is wanted; the text says what is."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at one place."""

    place: str
    problem: str

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}"


@contextmanager
def opened(path: Path) -> Iterator[csv.DictReader[str]]:
    """The rows of a file in UTF-8, with or without a mark at its beginning.

    Inside the block, raises `Unreadable` for what is no such file.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield csv.DictReader(file, strict=True)
    except csv.Error as error:
        raise Unreadable(f"it is not CSV: {error}.") from error
    except UnicodeDecodeError as error:
        raise Unreadable("it is not UTF-8 text: save it as that.") from error
    except OSError as error:
        raise Unreadable(f"it cannot be read: {error.strerror}.") from error
