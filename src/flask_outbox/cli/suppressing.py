"""``flask outbox suppress``, ``unsuppress`` and ``suppressions``: whom not to mail."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import click

from ..errors import AddressError
from ..outbox.records import Suppression
from ..words import clock
from . import suppression_csv
from .group import app_runtime, json_option, limit_option
from .importing import import_file
from .output import print_document, say
from .table import table

HEADINGS = ("Address", "List", "Since", "By", "Reason")


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it for one address."""

    address: str
    done: bool
    suppression: Suppression | None = None
    """What is on the list now; None where nothing is."""
    error: str | None = None


list_option = click.option(
    "--list", "list_", default="", metavar="TAG", help="Only for mail with this tag."
)


@click.command()
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@click.option("--reason", default="", help="Why, for whoever asks.")
@list_option
@json_option
@click.pass_context
def suppress(
    context: click.Context,
    addresses: tuple[str, ...],
    reason: str,
    list_: str,
    as_json: bool,
) -> None:
    """See that no more mail goes to these addresses.

    Where that holds already, what was said then is kept. The exit code is 1 when one of
    them is no address.
    """
    outbox = app_runtime().outbox

    def change(address: str) -> Result:
        kept = outbox.suppress(address, list=list_, reason=reason, source="person")
        return Result(address, True, kept)

    _tell(context, [_one(address, change) for address in addresses], as_json)


@click.command()
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@list_option
@json_option
@click.pass_context
def unsuppress(
    context: click.Context, addresses: tuple[str, ...], list_: str, as_json: bool
) -> None:
    """Let these addresses be mailed again.

    What was kept back meanwhile stays so, until 'flask outbox retry'. The exit code is
    1 when one of them was not on that list.
    """
    outbox = app_runtime().outbox

    def change(address: str) -> Result:
        if outbox.unsuppress(address, list=list_):
            return Result(address, True)
        which = f" for {list_}" if list_ else ""
        return Result(
            address,
            False,
            error=f"{address} is not on the suppression list{which}: "
            "'flask outbox suppressions' shows who is.",
        )

    _tell(context, [_one(address, change) for address in addresses], as_json)


def _one(address: str, change: Callable[[str], Result]) -> Result:
    try:
        return change(address)
    except AddressError as error:
        return Result(address, False, error=str(error))


def _tell(context: click.Context, results: list[Result], as_json: bool) -> None:
    if as_json:
        print_document({"results": [asdict(one) for one in results]})
    else:
        for one in results:
            _tell_one(one)
    context.exit(0 if all(one.done for one in results) else 1)


def _tell_one(one: Result) -> None:
    if one.error is not None:
        click.echo(f"Error: {one.error}", err=True)
    elif one.suppression is None:
        say(f"{one.address}  may be mailed again")
    else:
        kept = one.suppression
        reason = f": {kept.reason}" if kept.reason else ""
        say(f"{kept.address}  suppressed since {clock(kept.added_at)}{reason}")


@click.command()
@click.option(
    "--list", "list_", metavar="TAG", help="Only those for mail with this tag."
)
@limit_option
@click.option(
    "--export",
    type=click.Choice(["csv"]),
    help="Print all of them, for 'suppressions --import'.",
)
@click.option(
    "--import",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Add those of a CSV file instead.",
)
@json_option
def suppressions(
    list_: str | None, limit: int, export: str | None, file: Path | None, as_json: bool
) -> None:
    """Show whom not to mail, by address.

    A CSV file to import has a line with the names of its columns: address, and if you
    like list (a tag; empty means all mail), reason, source and added_at. Where one of
    its lines is at fault nothing of it is imported. Who is on the list already stays so
    as it is, and to import a file again does no harm.
    """
    outbox = app_runtime().outbox
    if file is not None:
        import_file(outbox, file, as_json)
        return
    found = outbox.suppressions(list_)
    if export is not None:
        for line in suppression_csv.written(found):
            click.echo(line.encode(), nl=False)
    elif as_json:
        print_document({"suppressions": [*islice(found, limit)]})
    else:
        _show(islice(found, limit + 1), limit)


def _show(found: Iterable[Suppression], limit: int) -> None:
    rows = [
        (one.address, one.list, clock(one.added_at), one.source, one.reason)
        for one in found
    ]
    say(table(HEADINGS, rows[:limit]) if rows else "There are no suppressions.")
    if len(rows) > limit:
        say("\nThere are more: --limit shows them, --export csv prints all.")
