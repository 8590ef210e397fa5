"""``flask outbox batch`` and ``send-many``: mail to many recipients, from a
CSV file.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import click
from flask import current_app

from ..actions import BATCH_ACTIONS
from ..app_state import state_of
from ..errors import AddressError, BatchInterrupted, StoreError
from ..feedback import Fate
from ..feedback.fate import in_order
from ..humanize import clock, counted, duration
from ..message import Address
from ..outbox import BatchStore
from ..outbox.records import BatchReceipt, BatchRecord, BatchState, Failure
from ..runtime import Runtime
from ..sending import TEMPLATE_VARIABLE
from ..sending.batch import (
    PRIORITY,
    Plan,
    Row,
    failures_csv,
    recipients_of_row,
)
from ..sending.options import SendOptions, list_of
from ..templating import Message, message_of_row
from .group import OutOfReach, acting, app_runtime, json_option, limit_option
from .input import Fault, Unreadable, csv_errors, full_batch_id, naming_file, open_csv
from .output import fields, print_document, progress, say, table

Cells = Mapping[str | None, str | list[str] | None]


class CsvRows:
    """The rows of the CSV file ``path``; it may be iterated several times.

    ``to`` is the column with the addresses; ``values`` are the same in all rows.
    Iterating raises `Unreadable`. The length is known after `check`.
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
        """Read all rows, and yield what is wrong with them.

        ``wanted`` are the names that each row must have, besides its address.
        """
        with open_csv(self._path) as reader:
            self._check_columns(reader.fieldnames or (), wanted)
        self._length = 0
        for line, row in self._read():
            self._length += 1
            problem = self._problem(row)
            if problem:
                yield Fault(f"row {self._length:,} (line {line:,})", problem)
        if not self._length:
            raise Unreadable("it has no rows after its header line.")

    def _read(self) -> Iterator[tuple[int, Cells]]:
        """Each row, with the number of the line that it ends in."""
        with open_csv(self._path) as reader:
            reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            for row in _not_blank(reader):
                yield reader.line_num, row

    def _check_columns(self, columns: Collection[str], wanted: Collection[str]) -> None:
        names = [name.strip() for name in columns]
        present = f"its header line has the columns {', '.join(names) or '(none)'}"
        twice = sorted({name for name in names if names.count(name) > 1})
        missing = sorted(set(wanted) - {*names, *self._values})
        if self._to not in names:
            raise Unreadable(
                f"{present}, and none of them is {self._to!r}: name the column that "
                "has the addresses with --to. Columns are separated by commas."
            )
        if twice:
            raise Unreadable(f"{present}, where {_listed(twice)} occurs twice.")
        if missing:
            link = f" --unsubscribe sets {TEMPLATE_VARIABLE!r}."
            raise Unreadable(
                f"{present}, but the template also needs {_listed(missing)}: add a "
                "column, or set it for all rows with --value NAME=VALUE."
                f"{link if TEMPLATE_VARIABLE in missing else ''}"
            )

    def _problem(self, row: Cells) -> str:
        if None in row:
            return "it has more cells than the header has columns."
        if None in row.values():
            return "it has fewer cells than the header has columns."
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
    """All rows except those with only empty cells, which spreadsheets write for empty
    rows.
    """
    for row in reader:
        if any(cell for cell in row.values()):
            yield row


HEADINGS = ("Id", "Name", "State", "Age", "Rows", "Finished")

FAILURES_SHOWN = 10
"""How many failures are shown with a batch; the report has all of them."""

LOOK_SECONDS = 0.5
"""How often `show --follow` checks the batch."""

UNDER_WAY = {BatchState.ENQUEUEING, BatchState.SENDING}


@click.group("batch")
def batch() -> None:
    """Show, pause and cancel batches."""


_id_argument = click.argument("id")


@batch.command("list")
@limit_option
@json_option
def list_batches(limit: int, as_json: bool) -> None:
    """Show the newest batches first."""
    runtime = app_runtime()
    found = runtime.batches.newest(limit)
    if as_json:
        print_document({"batches": [_document(one) for one in found]})
    elif found:
        now = runtime.outbox.clock()
        say(table(HEADINGS, [_line(one, now) for one in found]))
    else:
        say("There are no batches.")


def _line(one: BatchRecord, now: float) -> tuple[str, ...]:
    return (
        one.id,
        one.name,
        one.state,
        duration(now - one.began_at.timestamp()),
        f"{one.rows_stored:,}",
        f"{one.finished:,}",
    )


def _document(one: BatchRecord) -> dict[str, Any]:
    return {**asdict(one), "finished": one.finished, "progress": one.progress}


@batch.command()
@_id_argument
@click.option("--follow", is_flag=True, help="Show a progress bar until it is done.")
@json_option
def show(id: str, follow: bool, as_json: bool) -> None:
    """Show the progress of a batch.

    ID is the batch's id, or a unique prefix of it.
    """
    batches = app_runtime().batches
    id = full_batch_id(batches, id)
    if follow:
        _follow(batches, id)
    _show(batches, id, as_json)


def _follow(batches: BatchStore, id: str) -> None:
    found = batches.get(id)
    finished = 0
    with progress("Sending", max(found.total or 0, found.rows_stored)) as advance:
        while True:
            advance(found.finished - finished)
            finished = found.finished
            if found.state not in UNDER_WAY:
                return
            time.sleep(LOOK_SECONDS)
            found = batches.get(id)


def _show(batches: BatchStore, id: str, as_json: bool) -> None:
    found = batches.get(id)
    if as_json:
        print_document(_document(found))
        return
    failures = list(islice(batches.failures(id), FAILURES_SHOWN + 1))
    say("\n\n".join(_report(found, failures)))


def _report(found: BatchRecord, failures: list[Failure]) -> Iterator[str]:
    yield _header(found)
    if found.counts:
        counts = [(state, f"{count:,}") for state, count in found.counts.items()]
        yield table(("State", "Messages"), counts)
    if found.fates:
        fates = [
            (fate.words, f"{count:,}") for fate, count in in_order(found.fates).items()
        ]
        yield table(("Fate", "Recipients"), fates)
    if failures:
        yield table(
            ("Row", "Recipient", "Outcome", "Last reply or report"),
            [
                (f"{one.row:,}", one.address, _outcome(one), one.reply)
                for one in failures[:FAILURES_SHOWN]
            ],
        )
    if len(failures) > FAILURES_SHOWN:
        yield f"There are more: 'flask outbox batch report {found.id}' prints all."


def _outcome(one: Failure) -> str:
    return one.outcome.words if isinstance(one.outcome, Fate) else one.outcome


def _header(found: BatchRecord) -> str:
    rate = found.per_second(datetime.now(UTC))
    rows = f"{found.rows_stored:,}"
    if found.total is not None and found.total > found.rows_stored:
        rows += f" of {found.total:,}"
    lines = {
        "Batch": found.id,
        "Name": found.name,
        "State": found.state,
        "Rows": rows,
        "Finished": f"{found.finished:,} ({found.progress:.0%})",
        "Rate": f"{rate:,.1f} a second" if found.state in UNDER_WAY else "",
        "Tag": found.tag or "",
        "Key": found.key or "",
        "Began": clock(found.began_at),
        "All stored": clock(found.ended_at) if found.ended_at else "",
        "Paused": clock(found.paused_at) if found.paused_at else "",
        "Cancelled": clock(found.cancelled_at) if found.cancelled_at else "",
        "Interrupted": found.error or "",
    }
    return fields([(name, value) for name, value in lines.items() if value])


@batch.command()
@_id_argument
def report(id: str) -> None:
    """Print the recipients who did not get the mail, or complained, as CSV.

    The column ``fate`` has what was reported of mail that was sent.
    """
    batches = app_runtime().batches
    for line in failures_csv(batches.failures(full_batch_id(batches, id))):
        click.echo(line.encode(), nl=False)


def _command(name: str) -> None:
    """Add the command of the action ``name`` to ``flask outbox batch``."""
    action = BATCH_ACTIONS[name]

    @batch.command(name, help=action.effect)
    @_id_argument
    @json_option
    def command(id: str, as_json: bool) -> None:
        runtime = app_runtime()
        id = full_batch_id(runtime.batches, id)
        action.do(runtime, id, acting())
        found = runtime.batches.get(id)
        if as_json:
            print_document(_document(found))
        else:
            say(f"Batch {id} {action.done}: {_in_states(found)}.")


def _in_states(found: BatchRecord) -> str:
    counts = [f"{count:,} {state}" for state, count in found.counts.items()]
    return ", ".join(counts) or counted(0, "message")


for _name in BATCH_ACTIONS:
    _command(_name)


NOTHING = "Nothing was stored."

T = TypeVar("T")


@click.command("send-many")
@click.argument("template")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--to", default="to", show_default=True, help="The column with the addresses."
)
@click.option(
    "--value",
    "values",
    multiple=True,
    metavar="NAME=VALUE",
    help="A template variable that is the same in all rows.",
)
@click.option("--name", help="The name of the batch.  [default: the template]")
@click.option("--tag", help="A tag for each message.")
@click.option(
    "--unsubscribe",
    is_flag=True,
    help="Give each recipient a link to unsubscribe from the list that the tag names.",
)
@click.option(
    "--priority",
    type=int,
    default=PRIORITY,
    show_default=True,
    help="Higher is sent first; mail sent by a view has 0.",
)
@click.option("--key", help="The same key again continues the same batch.")
@click.option("--resume", metavar="ID", help="Continue an interrupted batch.")
@click.option("--dry-run", is_flag=True, help="Only check the file and the template.")
@json_option
def send_many(
    template: str,
    file: Path,
    to: str,
    values: tuple[str, ...],
    name: str | None,
    tag: str | None,
    unsubscribe: bool,
    priority: int,
    key: str | None,
    resume: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send the mail TEMPLATE to each row of the CSV file FILE.

    The first line of FILE names the columns, and each row is the context of one mail.
    The whole file is checked, and one message rendered, before anything is stored. If
    the command is interrupted, run it again with --resume: nothing is sent twice.
    """
    runtime = app_runtime()
    with naming_file(file, "sent to", NOTHING):
        options = SendOptions(priority=priority, tag=tag, unsubscribe=unsubscribe)
        rows = CsvRows(file, to, _values(values))
        _check(rows, template, file, options)
        if dry_run:
            receipt = None
        else:
            plan = Plan(
                name or template,
                tag,
                key,
                resume and resume.upper(),
                actor=acting(),
            )
            receipt = _hand_over(runtime, rows, template, options, plan)
    _tell(receipt, len(rows), as_json)


def _values(given: Iterable[str]) -> dict[str, str]:
    values = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name.isidentifier():
            raise click.ClickException(f"--value {one} is not of the form NAME=VALUE.")
        values[name] = value
    return values


def _check(rows: CsvRows, template: str, file: Path, options: SendOptions) -> None:
    """Raise unless all rows are valid and a message can be rendered for the first."""
    wanted = set(state_of(current_app).templates.wanted(template))
    if options.unsubscribe:
        list_of(options)
        wanted.discard(TEMPLATE_VARIABLE)
    faults = list(rows.check(wanted))
    if faults:
        raise csv_errors(file, faults, "row", NOTHING)
    address, row = next(iter(rows))
    context = {**_made_for(address, options), **row}
    Message.from_template(template, [address], context=context)


def _made_for(address: str, options: SendOptions) -> dict[str, str]:
    """The template variables that are missing in the rows."""
    if not options.unsubscribe:
        return {}
    return {TEMPLATE_VARIABLE: app_runtime().link(address, list_of(options))}


def _hand_over(
    runtime: Runtime, rows: CsvRows, template: str, options: SendOptions, plan: Plan
) -> BatchReceipt:
    with progress("Storing", len(rows)) as advance:
        watched: Watched[Row] = Watched(rows, len(rows), advance)
        try:
            return runtime.send_many(
                watched, message_of_row(template), recipients_of_row, options, plan
            )
        except BatchInterrupted as error:
            kind = OutOfReach if _is_out_of_reach(error) else click.ClickException
            how = f"Run it again with --resume {error.batch}."
            raise kind(f"{error.problem} {how}") from error
        except KeyboardInterrupt as error:
            if notes := getattr(error, "__notes__", None):
                raise click.ClickException(" ".join(notes)) from error
            raise


def _is_out_of_reach(error: BatchInterrupted) -> bool:
    return isinstance(error.__cause__, StoreError)


class Watched(Generic[T]):
    """Rows that report how many of them were read."""

    def __init__(
        self, rows: Iterable[T], length: int, advance: Callable[[int], None]
    ) -> None:
        self._rows = rows
        self._length = length
        self._advance = advance

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        for row in self._rows:
            yield row
            self._advance(1)


def _tell(receipt: BatchReceipt | None, rows: int, as_json: bool) -> None:
    if as_json:
        print_document({"rows": rows, "batch": receipt})
    elif receipt is None:
        say(f"{counted(rows, 'row')}, all valid. {NOTHING}")
    elif receipt.duplicate:
        say(
            f"Batch {receipt.id} has all of its {counted(receipt.messages, 'row')} "
            f"already. {NOTHING}"
        )
    else:
        say(
            f"Batch {receipt.id} has {counted(receipt.messages, 'message')}. "
            f"'flask outbox batch show {receipt.id}' shows the progress."
        )
