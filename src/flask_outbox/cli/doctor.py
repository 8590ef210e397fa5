"""``flask outbox doctor``: examines everything that a mail depends on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict

import click
from flask import current_app

from ..doctor import Diagnosis, Finding, examine
from .group import acting, app_runtime, json_option
from .output import fields, print_document, printable, say


@click.command()
@click.option(
    "--transport",
    "transports",
    multiple=True,
    metavar="NAME",
    help="Examine only this transport; may be repeated.",
)
@click.option(
    "--domain",
    "domains",
    multiple=True,
    help="Examine this From domain instead of those in the settings; may be repeated.",
)
@click.option(
    "--send-to",
    metavar="ADDRESS",
    help="Send a test mail there by each transport, and show what the server said.",
)
@click.option(
    "--nameserver",
    metavar="ADDRESS",
    help="Ask this name server instead of the machine's.",
)
@json_option
@click.pass_context
def doctor(
    context: click.Context,
    transports: tuple[str, ...],
    domains: tuple[str, ...],
    send_to: str | None,
    nameserver: str | None,
    as_json: bool,
) -> None:
    """Examine the set-up: configuration, database, transports, domains.

    For each thing that is wrong, says what was seen, why it matters, and the line or
    DNS record to write. Nothing is changed, and nothing is sent without --send-to:
    the dialogue with a server ends after the login. Domains need flask-outbox[doctor].

    The exit code is 0 if there is at most advice, 1 if something needs a person,
    and 2 if the outbox cannot be used.
    """
    diagnosis = examine(
        app_runtime(),
        current_app.config,
        os.environ,
        developing=current_app.debug or current_app.testing,
        transports=transports,
        domains=domains,
        nameserver=nameserver,
        send_to=send_to,
        actor=acting(),
    )
    if as_json:
        print_document(_document(diagnosis))
    else:
        say("\n\n".join(_report(diagnosis)))
    context.exit(_exit_code(diagnosis))


def _exit_code(diagnosis: Diagnosis) -> int:
    if not diagnosis.outbox_works:
        return 2
    return 1 if diagnosis.needs_a_person else 0


def _document(diagnosis: Diagnosis) -> dict[str, object]:
    return {
        "clean": not diagnosis.needs_a_person,
        "sections": [asdict(one) for one in diagnosis.sections],
        "verdicts": [
            {**asdict(one), "kept": one.kept, "words": one.words}
            for one in diagnosis.verdicts
        ],
    }


def _report(diagnosis: Diagnosis) -> Iterator[str]:
    for section in diagnosis.sections:
        title = f"{section.subject} {section.name}".strip().capitalize()
        lines = [printable(title), "=" * len(title)]
        if section.seen:
            lines += [fields((one.step, one.words) for one in section.seen)]
        yield "\n".join(lines)
        yield from map(_finding, section.findings)
    for verdict in diagnosis.verdicts:
        yield printable(verdict.words)
    number = sum(1 for _ in diagnosis.findings)
    yield f"{number} found." if number else "Nothing found."


def _finding(one: Finding) -> str:
    """A finding; each line to write stays on one, so that it can be copied."""
    words = [("Seen", one.saw), ("Why", one.why), ("To do", one.todo)]
    shown = [f"{one.severity}: {one.id}", fields(pair for pair in words if pair[1])]
    shown += [f"Write {printable(line)}" for line in one.write.splitlines()]
    return "\n".join(shown)
