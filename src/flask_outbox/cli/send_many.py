"""``flask outbox send-many``: a template for each row of a CSV file, as one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

import click
from flask import current_app

from ..errors import BatchInterrupted, StoreError
from ..handover import Wishes, list_of
from ..many import PRIORITY, Plan, Row, from_template, whom_of
from ..message import Message
from ..outbox.batch_records import BatchReceipt
from ..readying import IN_TEMPLATES
from ..runtime import Runtime
from ..words import counted
from .csv_told import named, told
from .group import OutOfReach, app_runtime, json_option
from .output import print_document, say
from .progress import progress
from .rows_csv import CsvRows

NOTHING = "Nothing was handed over."

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
    help="Something for the template that is the same in all rows.",
)
@click.option("--name", help="What the batch is called.  [default: the template]")
@click.option("--tag", help="A tag for each message.")
@click.option(
    "--unsubscribe",
    is_flag=True,
    help="Let each reader leave the list that is called as the tag.",
)
@click.option(
    "--priority",
    type=int,
    default=PRIORITY,
    show_default=True,
    help="Higher overtakes; mail that a view sends has 0.",
)
@click.option("--key", help="The same key again goes on with the same batch.")
@click.option("--resume", metavar="ID", help="Go on with a batch that broke off.")
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

    Its first line names the columns; with what stands in them the template is filled.
    The whole file is checked before anything is handed over, and one message is
    rendered to see that the template works. Where it breaks off all the same, run it
    again with --resume: nothing is sent twice.
    """
    runtime = app_runtime()
    with named(file, "sent to", NOTHING):
        wishes = Wishes(priority=priority, tag=tag, unsubscribe=unsubscribe)
        rows = CsvRows(file, to, _values(values))
        _check(rows, template, file, wishes)
        if dry_run:
            receipt = None
        else:
            plan = Plan(name or template, tag, key, resume and resume.upper())
            receipt = _hand_over(runtime, rows, template, wishes, plan)
    _tell(receipt, len(rows), as_json)


def _values(given: Iterable[str]) -> dict[str, str]:
    values = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name.isidentifier():
            raise click.ClickException(f"--value {one} is not of the form NAME=VALUE.")
        values[name] = value
    return values


def _check(rows: CsvRows, template: str, file: Path, wishes: Wishes) -> None:
    """Raise unless each row can be sent to, and the first can be rendered."""
    wanted = set(current_app.extensions["outbox"].templates.wanted(template))
    if wishes.unsubscribe:
        list_of(wishes)
        wanted.discard(IN_TEMPLATES)
    faults = list(rows.check(wanted))
    if faults:
        raise told(file, faults, "row", NOTHING)
    address, row = next(iter(rows))
    context = {**_made_for(address, wishes), **row}
    Message.from_template(template, [address], context=context)


def _made_for(address: str, wishes: Wishes) -> dict[str, str]:
    """What a template finds beside the cells of a row."""
    if not wishes.unsubscribe:
        return {}
    return {IN_TEMPLATES: app_runtime().link(address, list_of(wishes))}


def _hand_over(
    runtime: Runtime, rows: CsvRows, template: str, wishes: Wishes, plan: Plan
) -> BatchReceipt:
    with progress("Handing over", len(rows)) as advance:
        watched: Watched[Row] = Watched(rows, len(rows), advance)
        try:
            return runtime.batches.send(
                watched, from_template(template), whom_of, wishes, plan
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
    """Rows that tell how many of them were taken."""

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
        say(f"{counted(rows, 'row')}, and all are well. {NOTHING}")
    elif receipt.duplicate:
        say(
            f"Batch {receipt.id} has all of its {counted(receipt.messages, 'row')} "
            f"already. {NOTHING}"
        )
    else:
        say(
            f"Batch {receipt.id} has {counted(receipt.messages, 'message')}. "
            f"'flask outbox batch show {receipt.id}' shows how it goes."
        )
