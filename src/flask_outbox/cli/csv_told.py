"""What is wrong with a CSV file, told to whoever gave it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from ..words import counted
from .csv_file import Fault, Unreadable

FAULTS_TOLD = 20
"""Faults that are told one by one; of more there is only the number."""


@contextmanager
def named(path: Path, verb: str, epilogue: str) -> Iterator[None]:
    """Say which file it is that cannot be read, for which ``verb``: *imported*."""
    try:
        yield
    except Unreadable as error:
        raise click.ClickException(
            f"{path} cannot be {verb}: {error} {epilogue}"
        ) from error


def told(
    path: Path, faults: Sequence[Fault], what: str, epilogue: str
) -> click.ClickException:
    """The error that tells of ``faults``; ``what`` is what each of them is in."""
    lines = "\n".join(f"  {one}" for one in faults[:FAULTS_TOLD])
    more = len(faults) - FAULTS_TOLD
    rest = f"\n  and {counted(more, what)} more" if more > 0 else ""
    return click.ClickException(
        f"{path} has {counted(len(faults), what)} at fault. {epilogue}\n{lines}{rest}"
    )
