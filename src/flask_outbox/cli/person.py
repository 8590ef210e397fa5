"""``flask outbox person``: what is kept about one person, exported and erased."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import click

from ..humanize import counted
from ..message import Address
from ..outbox.records import PersonErased, Unerased
from .group import acting, app_runtime, json_option
from .output import fields, print_document, printable, reading, say, say_error


@click.group()
def person() -> None:
    """Export or erase what the outbox keeps about one person.

    The person is found by address, in upper or lower case.
    """


@person.command("export")
@click.argument("address")
@click.option(
    "--output",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file, which only its owner may read.",
)
def export_person(address: str, file: Path | None) -> None:
    """Print all that is kept about a person, as one JSON document.

    Other recipients of a message are not named, except for those in the headers of
    the mail that the person got.
    """
    address = Address.parse(address, "address").spec
    records = app_runtime().export_person(address, acting())
    if file is None:
        _write(sys.stdout, address, records)
        return
    with _private(file) as stream:
        number = _write(stream, address, records)
    say(f"Wrote {counted(number, 'record')} about {printable(address)} to {file}.")


@contextmanager
def _private(file: Path) -> Iterator[IO[str]]:
    """A file of the owner alone, which is complete or not there."""
    part = file.with_name(f"{file.name}.part")
    try:
        part.unlink(missing_ok=True)
        made = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(made, "w", encoding="utf-8") as stream:  # noqa: PTH123  # descriptor
            yield stream
        part.replace(file)
    except OSError as error:
        raise click.ClickException(
            f"{file} cannot be written: {error.strerror}."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _write(stream: IO[str], address: str, records: Iterable[dict[str, Any]]) -> int:
    """Write the document record by record; return their number."""
    stream.write(f'{{"address": {json.dumps(address)}, "records": [')
    number = 0
    for one in records:
        stream.write(",\n" if number else "\n")
        stream.write(json.dumps(one))
        number += 1
    stream.write("\n]}\n")
    return number


@person.command("erase")
@click.argument("address")
@click.option("--suppress", is_flag=True, help="Send them no more mail from now on.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option
@click.pass_context
def erase_person(
    context: click.Context, address: str, suppress: bool, yes: bool, as_json: bool
) -> None:
    """Erase all that is kept about a person. This cannot be undone.

    Messages to them stay countable, without content, subject and address; those that
    wait for them alone are cancelled. A suppression stays as a digest of the address,
    and still holds. The exit code is 1 if a message cannot be erased yet, such as one
    that a courier is delivering: run it again later. It is safe to interrupt.
    """
    runtime, address = app_runtime(), Address.parse(address, "address").spec
    if not yes:
        click.confirm(
            f"Erase all that the outbox keeps about {printable(address)}? This cannot "
            "be undone.",
            abort=True,
            err=True,
        )
    total = 0
    with reading("Erased messages") as show:

        def on_progress(step: PersonErased) -> None:
            nonlocal total
            total += step.messages
            show(total)

        erased = runtime.erase_person(
            address,
            suppress_by="person" if suppress else None,
            on_progress=on_progress,
            actor=acting(),
        )
    if as_json:
        print_document(asdict(erased))
    else:
        _tell(address, erased)
    context.exit(1 if erased.waiting else 0)


def _tell(address: str, erased: PersonErased) -> None:
    numbers = {
        "Messages erased": erased.messages,
        "Cancelled before": len(erased.cancelled),
        "Events changed": erased.events,
        "Reports blanked": erased.reports,
        "Suppressions kept as digests": erased.suppressions,
        "Webhooks deleted or changed": erased.webhooks,
        "Other mentions": erased.mentions,
    }
    say(fields([(name, f"{number:,}") for name, number in numbers.items()]))
    if erased.rewritten is False:
        say(
            "\nThe outbox's file was not rewritten, as it is large or in use: old "
            "bytes may be left in it. VACUUM it while no mail is handed over."
        )
    for one in erased.waiting:
        say_error(_not_yet(one))
    if erased.waiting:
        still = "still names" if len(erased.waiting) == 1 else "still name"
        say_error(
            f"{counted(len(erased.waiting), 'message')} {still} {printable(address)}: "
            "run this again later."
        )


def _not_yet(one: Unerased) -> str:
    return f"Message {one.message_id} cannot be erased yet: {one.why}."
