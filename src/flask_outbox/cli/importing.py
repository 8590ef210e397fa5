"""``flask outbox suppressions --import``: checked whole, then kept step by step."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from ..errors import StoreError
from ..outbox.records import Suppression
from ..outbox.store import Outbox
from ..words import counted
from .csv_file import Fault
from .csv_told import named, told
from .group import OutOfReach
from .output import print_document, say
from .progress import progress
from .suppression_csv import read

STEP = 500
"""Lines in one transaction."""


def import_file(outbox: Outbox, path: Path, as_json: bool) -> None:
    """Add the suppressions of a CSV file, unless one of its lines is at fault."""
    now = outbox.clock()
    with named(path, "imported", "Nothing was imported."):
        lines = _checked(path, now)
        added = _add(outbox, path, lines, now)
    if as_json:
        print_document({"lines": lines, "added": added, "present": lines - added})
        return
    present = f"; {lines - added:,} were there already" if added < lines else ""
    say(f"Added {counted(added, 'suppression')} of {counted(lines, 'line')}{present}.")


def _checked(path: Path, now: float) -> int:
    """How many lines there are, none at fault."""
    lines, faults = 0, []
    for one in read(path, now):
        lines += 1
        if isinstance(one, Fault):
            faults.append(one)
    if faults:
        raise told(path, faults, "line", "Nothing was imported.")
    return lines


def _add(outbox: Outbox, path: Path, lines: int, now: float) -> int:
    """How many are new; where that breaks off, say how far it came."""
    added = done = 0
    entries = (one for one in read(path, now) if isinstance(one, Suppression))
    with progress("Importing", lines) as advance:
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
