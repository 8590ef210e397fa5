"""What people give to commands: the ids and times that they type, and CSV files."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from ..errors import BatchNotFound, MessageNotFound
from ..humanize import counted
from ..outbox import HIGHEST, ID_LENGTH, BatchStore, Outbox


def full_id(outbox: Outbox, given: str) -> str:
    """The full id of the message whose id begins with ``given``.

    Raises `MessageNotFound` if there is none, or more than one.
    """

    def newest(before: str) -> list[str]:
        return [one.id for one in outbox.list(limit=2, before=before)]

    return _full(given, newest, "message", "list", MessageNotFound)


def full_batch_id(batches: BatchStore, given: str) -> str:
    """The full id of the batch whose id begins with ``given``.

    Raises `BatchNotFound` if there is none, or more than one.
    """

    def newest(before: str) -> list[str]:
        return [one.id for one in batches.newest(2, before)]

    return _full(given, newest, "batch", "batch list", BatchNotFound)


def _full(
    given: str,
    newest: Callable[[str], Iterable[str]],
    noun: str,
    command: str,
    error: type[MessageNotFound | BatchNotFound],
) -> str:
    beginning = given.upper()
    if len(beginning) >= ID_LENGTH:
        return beginning
    before = beginning.ljust(ID_LENGTH, HIGHEST)
    found = [one for one in newest(before) if one.startswith(beginning)]
    if not found:
        raise error(
            f"No {noun} has an id that begins with {given!r}. 'flask outbox {command}' "
            "shows them."
        )
    if len(found) > 1:
        raise error(
            f"More than one {noun} has an id that begins with {given!r}, among them "
            f"{' and '.join(found)}: give more characters."
        )
    return found[0]


_AGO = re.compile(r"(\d{1,6}) ?(min|h|d)")

_SECONDS = {"min": 60.0, "h": 3_600.0, "d": 86_400.0}


def time_given(text: str, now: float, option: str) -> float:
    """A time in epoch seconds, from its ISO form or from how long ago it was."""
    if ago := _AGO.fullmatch(text.strip()):
        return now - int(ago[1]) * _SECONDS[ago[2]]
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is neither a time, as 2026-11-24T13:00, nor 90min, 2h or 3d.",
            param_hint=option,
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


class Unreadable(Exception):
    """The file as a whole is unusable; the text says why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A problem at one place of a file."""

    place: str
    problem: str

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}"


@contextmanager
def open_csv(path: Path) -> Iterator[csv.DictReader[str]]:
    """The rows of a file in UTF-8, with or without a byte order mark.

    Inside the block, raises `Unreadable` if it is no such file.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield csv.DictReader(file, strict=True)
    except csv.Error as error:
        raise Unreadable(f"it is not CSV: {error}.") from error
    except UnicodeDecodeError as error:
        raise Unreadable("it is not UTF-8 text: save it as UTF-8.") from error
    except OSError as error:
        raise Unreadable(f"it cannot be read: {error.strerror}.") from error


FAULTS_SHOWN = 20
"""How many faults are listed; the others are only counted."""


@contextmanager
def naming_file(path: Path, verb: str, epilogue: str) -> Iterator[None]:
    """Turn `Unreadable` into an error that names the file; ``verb`` is e.g.
    *imported*.
    """
    try:
        yield
    except Unreadable as error:
        raise click.ClickException(
            f"{path} cannot be {verb}: {error} {epilogue}"
        ) from error


def csv_errors(
    path: Path, faults: Sequence[Fault], what: str, epilogue: str
) -> click.ClickException:
    """The error that lists ``faults``; ``what`` names their places: a row, a line."""
    lines = "\n".join(f"  {one}" for one in faults[:FAULTS_SHOWN])
    more = len(faults) - FAULTS_SHOWN
    rest = f"\n  and {counted(more, what)} more" if more > 0 else ""
    return click.ClickException(
        f"{path} has {counted(len(faults), f'invalid {what}')}. {epilogue}\n"
        f"{lines}{rest}"
    )
