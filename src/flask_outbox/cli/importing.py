"""``flask outbox suppressions --import``: checked whole, then kept step by step."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import click

from ..errors import StoreError
from ..outbox.records import Suppression
from ..outbox.store import Outbox
from ..words import counted
from .group import OutOfReach
from .output import print_document, say
from .suppression_csv import Fault, Unreadable, read

STEP = 500
"""Lines in one transaction."""

FAULTS_TOLD = 20
"""Faults that are told one by one; of more there is only the number."""


def import_file(outbox: Outbox, path: Path, as_json: bool) -> None:
    """Add the suppressions of a CSV file, unless one of its lines is at fault."""
    now = outbox.clock()
    with _named(path):
        lines = _checked(path, now)
        added = _add(outbox, path, lines, now)
    if as_json:
        print_document({"lines": lines, "added": added, "present": lines - added})
        return
    present = f"; {lines - added:,} were there already" if added < lines else ""
    say(f"Added {counted(added, 'suppression')} of {counted(lines, 'line')}{present}.")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say which file it is that cannot be read."""
    try:
        yield
    except Unreadable as error:
        raise click.ClickException(
            f"{path} cannot be imported: {error} Nothing was imported."
        ) from error


def _checked(path: Path, now: float) -> int:
    """How many lines there are, none at fault."""
    lines, faults = 0, []
    for one in read(path, now):
        lines += 1
        if isinstance(one, Fault):
            faults.append(one)
    if faults:
        told = "\n".join(f"  {one}" for one in faults[:FAULTS_TOLD])
        more = len(faults) - FAULTS_TOLD
        rest = f"\n  and {counted(more, 'line')} more" if more > 0 else ""
        raise click.ClickException(
            f"{path} has {counted(len(faults), 'line')} at fault. Nothing was imported."
            f"\n{told}{rest}"
        )
    return lines


def _add(outbox: Outbox, path: Path, lines: int, now: float) -> int:
    """How many are new; where that breaks off, say how far it came."""
    added = done = 0
    entries = (one for one in read(path, now) if isinstance(one, Suppression))
    with _progress(lines) as advance:
        while step := [*islice(entries, STEP)]:
            try:
                added += outbox.suppress_all(step)
            except StoreError as error:
                raise OutOfReach(
                    f"{error} The first {counted(done, 'line')} of {lines:,} in {path} "
                    "are imported. To import the file again is safe."
                ) from error
            done += len(step)
            advance(len(step))
    return added


@contextmanager
def _progress(lines: int) -> Iterator[Callable[[int], None]]:
    """A bar where a person looks on."""
    if not sys.stderr.isatty():
        yield lambda step: None
        return
    with click.progressbar(length=lines, label="Importing", file=sys.stderr) as bar:
        yield bar.update
