"""A CSV file as the rows of a batch: checked whole, then read row by row."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from ..errors import AddressError
from ..message import Address
from ..readying import IN_TEMPLATES
from .csv_file import Fault, Unreadable, opened

Cells = Mapping[str | None, str | list[str] | None]


class CsvRows:
    """The rows of ``path``, as often as they are asked for.

    ``to`` is the column with the addresses; ``values`` are the same in all rows.
    Raises `Unreadable` while they are read. `check` says how many there are.
    """

    def __init__(self, path: Path, to: str, values: Mapping[str, str]) -> None:
        self._path = path
        self._to = to
        self._values = values
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        for _, row in self._read():
            yield self._row(row)

    def check(self, wanted: Collection[str]) -> Iterator[Fault]:
        """Read all rows; each that is at fault.

        ``wanted`` are the names that each has to have, beside its address.
        """
        with opened(self._path) as reader:
            self._check_columns(reader.fieldnames or (), wanted)
        self._length = 0
        for line, row in self._read():
            self._length += 1
            problem = self._problem(row)
            if problem:
                yield Fault(f"row {self._length:,} (line {line:,})", problem)
        if not self._length:
            raise Unreadable("it has no rows below its first line.")

    def _read(self) -> Iterator[tuple[int, Cells]]:
        """Each row, and the line of the file that it ends in."""
        with opened(self._path) as reader:
            reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            for row in _not_blank(reader):
                yield reader.line_num, row

    def _check_columns(self, columns: Collection[str], wanted: Collection[str]) -> None:
        names = [name.strip() for name in columns]
        present = f"its first line names the columns {', '.join(names) or '(none)'}"
        twice = sorted({name for name in names if names.count(name) > 1})
        missing = sorted(set(wanted) - {*names, *self._values})
        if self._to not in names:
            raise Unreadable(
                f"{present}, and none of them is {self._to!r}: say with --to which one "
                "has the addresses. Columns are separated by commas."
            )
        if twice:
            raise Unreadable(f"{present}, of which {_listed(twice)} is there twice.")
        if missing:
            link = f" {IN_TEMPLATES!r} is made by --unsubscribe."
            raise Unreadable(
                f"{present}, and the template asks for {_listed(missing)} too: add "
                "that as a column, or for all rows with --value NAME=VALUE."
                f"{link if IN_TEMPLATES in missing else ''}"
            )

    def _problem(self, row: Cells) -> str:
        if None in row:
            return "it has more cells than there are columns."
        if None in row.values():
            return "it has fewer cells than there are columns."
        try:
            Address.parse(self._row(row)[0], self._to)
        except AddressError as error:
            return str(error)
        return ""

    def _row(self, row: Cells) -> tuple[str, Mapping[str, str]]:
        cells = {name: cell for name, cell in row.items() if isinstance(cell, str)}
        given = {str(name): cell for name, cell in cells.items()}
        return given.get(self._to, "").strip(), {**self._values, **given}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def _not_blank(reader: csv.DictReader[str]) -> Iterator[Cells]:
    """All rows but those of nothing but commas, as which editors keep empty ones."""
    for row in reader:
        if any(cell for cell in row.values()):
            yield row
