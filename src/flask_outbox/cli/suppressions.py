"""``flask outbox suppress``, ``unsuppress`` and ``suppressions``, with their CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import click

from ..errors import AddressError, MessageError, StoreError, TransportDown
from ..feedback import as_reported
from ..humanize import clock, counted, csv_lines, unguarded
from ..outbox import SOURCES, Outbox, new_suppression
from ..outbox.records import Act, Suppression
from ..runtime import Runtime
from .group import OutOfReach, acting, app_runtime, json_option, limit_option
from .input import Fault, Unreadable, csv_errors, naming_file, open_csv
from .output import (
    fields,
    print_document,
    printable,
    progress,
    say,
    say_error,
    table,
)

COLUMNS = ("address", "list", "reason", "source", "added_at", "evidence")


def written(entries: Iterable[Suppression]) -> Iterator[str]:
    """The lines of a CSV file with these suppressions; the first names the columns."""
    yield csv_lines([COLUMNS])
    for one in entries:
        evidence = "" if one.evidence is None else json.dumps(dict(one.evidence))
        since = one.added_at.isoformat()
        cells = (one.address, one.list, one.reason, one.source, since, evidence)
        yield csv_lines([cells])


def read(path: Path, now: float) -> Iterator[Suppression | Fault]:
    """The suppression in each line, or what is wrong with it.

    Without a time, it is suppressed since ``now``. Raises `Unreadable`.
    """
    with open_csv(path) as reader:
        _check_columns(reader)
        for row in reader:
            yield _read_row(row, reader.line_num, now)


def _check_columns(reader: csv.DictReader[str]) -> None:
    columns = [name.strip().lower() for name in reader.fieldnames or ()]
    unknown = [name for name in columns if name not in COLUMNS]
    if "address" not in columns or unknown or len({*columns}) < len(columns):
        raise Unreadable(
            f"its header line has the columns {', '.join(columns) or '(none)'}: it "
            f"needs address, and may have {', '.join(COLUMNS[1:])}, each once, "
            "separated by commas."
        )
    reader.fieldnames = columns


def _read_row(
    row: Mapping[str | None, str | None], line: int, now: float
) -> Suppression | Fault:
    if None in row:
        return Fault(f"line {line:,}", "it has more cells than the header has columns.")
    cells = {name: unguarded((row.get(name) or "").strip()) for name in COLUMNS}
    try:
        return new_suppression(
            cells["address"],
            cells["list"],
            cells["reason"],
            cells["source"] or "import",
            _moment(cells["added_at"]) or now,
            _evidence(cells["evidence"]),
        )
    except MessageError as error:
        return Fault(f"line {line:,}", str(error))


def _moment(text: str) -> float | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.utcoffset() is not None:
            return moment.timestamp()
    except (ValueError, OverflowError):
        pass
    raise MessageError(
        "added_at",
        f"{text!r} is not a time with a zone; write it as 2026-11-24T09:30:05+00:00.",
    )


def _evidence(text: str) -> Mapping[str, Any] | None:
    if not text:
        return None
    try:
        evidence = json.loads(text)
    except (ValueError, RecursionError):
        evidence = None
    if not isinstance(evidence, dict):
        raise MessageError("evidence", "it is not a JSON object, such as --export has.")
    return evidence


STEP = 500
"""How many lines are stored in one transaction."""


def import_file(outbox: Outbox, path: Path, as_json: bool) -> None:
    """Add the suppressions of a CSV file; nothing is added if any line is faulty."""
    now = outbox.clock()
    with naming_file(path, "imported", "Nothing was imported."):
        lines = _checked(path, now)
        added = _add(outbox, path, lines, now)
    if as_json:
        print_document({"lines": lines, "added": added, "present": lines - added})
        return
    present = f"; {lines - added:,} were already listed" if added < lines else ""
    say(f"Added {counted(added, 'suppression')} of {counted(lines, 'line')}{present}.")


def _checked(path: Path, now: float) -> int:
    """Return the number of lines; raises unless all are valid."""
    lines, faults = 0, []
    for one in read(path, now):
        lines += 1
        if isinstance(one, Fault):
            faults.append(one)
    if faults:
        raise csv_errors(path, faults, "line", "Nothing was imported.")
    return lines


def _add(outbox: Outbox, path: Path, lines: int, now: float) -> int:
    """Add the suppressions and return how many are new; an error says how many lines
    were imported.
    """
    added = done = 0
    line = outbox.trail.note(acting(), Act.IMPORT_SUPPRESSIONS, path.name, many=0)
    entries = (one for one in read(path, now) if isinstance(one, Suppression))
    with progress("Importing", lines) as advance:
        while step := [*islice(entries, STEP)]:
            try:
                added += outbox.suppress_all(step, line)
            except StoreError as error:
                raise OutOfReach(
                    f"{error} The first {counted(done, 'line')} of {lines:,} in {path} "
                    "are imported. It is safe to import the file again."
                ) from error
            done += len(step)
            advance(len(step))
    return added


HEADINGS = ("Address", "List", "Since", "By", "Reason")


@dataclass(frozen=True, slots=True)
class Result:
    """The result for one address."""

    address: str
    done: bool
    suppression: Suppression | None = None
    """The entry on the list now; None if there is none."""
    still_on: tuple[str, ...] = ()
    """The lists that an address is still on which was taken off one; "" is all mail."""
    error: str | None = None
    note: str | None = None
    """What is to be known beside it."""


_list_option = click.option(
    "--list", "list_", default="", metavar="TAG", help="Only for mail with this tag."
)


@click.command()
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@click.option("--reason", default="", help="The reason, shown with the address.")
@_list_option
@json_option
@click.pass_context
def suppress(
    context: click.Context,
    addresses: tuple[str, ...],
    reason: str,
    list_: str,
    as_json: bool,
) -> None:
    """Send no more mail to these addresses.

    A suppression that exists already is not changed. The exit code is 1 if one of them
    is not a valid address.
    """
    outbox = app_runtime().outbox

    def change(address: str) -> Result:
        kept = outbox.suppress(
            address, list=list_, reason=reason, source="person", actor=acting()
        )
        return Result(address, True, kept)

    _tell(context, [_one(address, change) for address in addresses], as_json)


@click.command()
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@_list_option
@click.option(
    "--at-provider",
    is_flag=True,
    help="Take them off the providers' own suppression lists, too.",
)
@json_option
@click.pass_context
def unsuppress(
    context: click.Context,
    addresses: tuple[str, ...],
    list_: str,
    at_provider: bool,
    as_json: bool,
) -> None:
    """Allow mail to these addresses again.

    What was reported of them before does not bring the suppression back; a new report
    does. Recipients who were suppressed in the meantime stay suppressed until 'flask
    outbox retry'. A provider may have a list of its own, from which --at-provider takes
    them first. The exit code is 1 if one of the addresses was not on that list, or if a
    provider did not remove it: then nothing has changed here.
    """
    if at_provider and list_:
        raise click.UsageError("--at-provider is for all mail: leave out --list.")
    runtime = app_runtime()
    outbox = runtime.outbox

    def change(address: str) -> Result:
        had = runtime.unsuppress_at_providers(address) if at_provider else []
        note = _removed(had) if at_provider else _may_be_listed(runtime, address, list_)
        done = outbox.unsuppress(address, list=list_, actor=acting()) or bool(had)
        still_on = tuple(one.list for one in outbox.suppressions_of(address))
        if done:
            return Result(address, True, still_on=still_on, note=note)
        return Result(
            address, False, still_on=still_on, error=_not_on(address, list_, still_on)
        )

    _tell(context, [_one(address, change) for address in addresses], as_json)


def _not_on(address: str, list_: str, still_on: Sequence[str]) -> str:
    if not still_on:
        return (
            f"{address} is not on the suppression list: 'flask outbox suppressions' "
            "shows it."
        )
    options = " or ".join(f"--list {one}" if one else "no --list" for one in still_on)
    return (
        f"{address} is not suppressed for {_mail_of([list_])}, but for "
        f"{_mail_of(still_on)}: unsuppress it with {options}."
    )


def _mail_of(lists: Iterable[str]) -> str:
    return ", ".join(one or "all mail" for one in lists)


def _removed(had: Sequence[str]) -> str:
    where = ", ".join(had)
    return (
        f"taken off its provider's list, too: {where}" if had else "no provider had it"
    )


def _may_be_listed(runtime: Runtime, address: str, list_: str) -> str | None:
    """What to do if the provider has a suppression of its own."""
    found = runtime.outbox.suppressions_of(address)
    if not any(one.list == list_ and one.provider_may_list for one in found):
        return None
    if not runtime.provider_lists():
        return (
            "if a provider sends the mail, it may still have it on a list of its own: "
            "look on the provider's own pages"
        )
    return (
        "its provider may still have it on a list of its own, and send nothing to it: "
        "unsuppress --at-provider takes it off that"
    )


def _one(address: str, change: Callable[[str], Result]) -> Result:
    try:
        return change(address)
    except (AddressError, TransportDown) as error:
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
        say_error(one.error)
    elif one.suppression is None:
        note = f"; {one.note}" if one.note else ""
        what = (
            f"taken off this list; still suppressed for {_mail_of(one.still_on)}"
            if one.still_on
            else "may be mailed again"
        )
        say(f"{one.address}  {what}{note}")
    else:
        kept = one.suppression
        reason = f": {kept.reason}" if kept.reason else ""
        say(f"{kept.address}  suppressed since {clock(kept.added_at)}{reason}")


@click.command()
@click.argument("address", required=False)
@click.option(
    "--list", "list_", metavar="TAG", help="Only suppressions for mail with this tag."
)
@click.option(
    "--source", type=click.Choice(SOURCES), help="Only those that come from there."
)
@limit_option
@click.option(
    "--export",
    type=click.Choice(["csv"]),
    help="Print all suppressions, for 'suppressions --import'.",
)
@click.option(
    "--import",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Add the suppressions of a CSV file instead.",
)
@json_option
@click.pass_context
def suppressions(
    context: click.Context,
    address: str | None,
    list_: str | None,
    source: str | None,
    limit: int,
    export: str | None,
    file: Path | None,
    as_json: bool,
) -> None:
    """Show suppressed addresses, in alphabetical order unless they are encrypted.

    With ADDRESS, show all that is known about why it is suppressed; the exit code is
    1 if it is not.

    A CSV file to import has a header line with the columns: address, and optionally
    list (a tag; empty means all mail), reason, source, added_at and evidence. If any
    line is invalid, nothing is imported. Suppressions that exist already are not
    changed, so it is safe to import a file again.
    """
    outbox = app_runtime().outbox
    if file is not None:
        import_file(outbox, file, as_json)
        return
    found: Iterable[Suppression] = outbox.suppressions(list_, source)
    if address is not None:
        found = [
            one
            for one in outbox.suppressions_of(address)
            if list_ in (None, one.list) and source in (None, one.source)
        ]
    if export is not None:
        for line in written(found):
            click.echo(line.encode(), nl=False)
    elif as_json:
        print_document({"suppressions": [*islice(found, limit)]})
    elif address is not None:
        say("\n\n".join(map(_why, found)) or f"{printable(address)} is not suppressed.")
    else:
        _show(islice(found, limit + 1), limit)
    context.exit(0 if address is None or found else 1)


def _why(one: Suppression) -> str:
    """One suppression, and the report that it follows from."""
    evidence = one.evidence or {}
    lines = {
        "Address": one.address,
        "List": one.list or "all mail",
        "Since": clock(one.added_at),
        "By": one.source,
        "Reason": one.reason,
        "Happened": _happened(evidence),
        "At": clock(one.reported_at) if one.reported_at else "",
        "Event": evidence.get("event_id", ""),
        "Listed by": evidence.get("transport", ""),
        "Listed for": evidence.get("listed_for", ""),
        "Words": evidence.get("words", ""),
        "Message": evidence.get("message_id", ""),
    }
    return fields([(name, value) for name, value in lines.items() if value])


def _happened(evidence: Mapping[str, Any]) -> str:
    """What was reported, and by whom."""
    fate = str(evidence.get("fate", "")).replace("_", " ")
    source = evidence.get("source", "")
    return ", ".join(filter(None, (fate, source and as_reported(source))))


def _show(found: Iterable[Suppression], limit: int) -> None:
    rows = [
        (one.address, one.list, clock(one.added_at), one.source, one.reason)
        for one in found
    ]
    say(table(HEADINGS, rows[:limit]) if rows else "There are no suppressions.")
    if len(rows) > limit:
        say("\nThere are more: --limit shows them, --export csv prints all.")
