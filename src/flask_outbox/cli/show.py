"""``flask outbox show``: one message, and its story as an execution table."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from ..delivery import State
from ..message import Template
from ..outbox.records import MessageRecord
from ..outbox.store import Outbox
from ..story import Event
from ..words import clock, duration
from .contents import content_of
from .group import app_runtime, json_option
from .ids import full_id
from .output import print_document, say
from .table import fields, printable, table

STORY = ("Step", "At", "What happened", "Background work", "Web request", "Output")


@click.command()
@click.argument("id")
@click.option(
    "--content",
    "part",
    flag_value="content",
    help="Print the mail itself instead: its RFC 5322 source.",
)
@click.option(
    "--dialogue",
    "part",
    flag_value="dialogue",
    help="Print the SMTP dialogue of each attempt instead.",
)
@json_option
def show(id: str, part: str | None, as_json: bool) -> None:
    """Show what became of a message.

    ID is the message's id, or as much of its beginning as no other message has.
    """
    outbox = app_runtime().outbox
    record = outbox.get(full_id(outbox, id))
    if as_json:
        print_document(_document(outbox, record, with_content=part == "content"))
    elif part == "content":
        click.echo(content_of(outbox, record.id), nl=False)
    elif part == "dialogue":
        say("\n\n".join(_dialogues(record)) or "Nothing was said to a server yet.")
    else:
        say("\n\n".join((_header(record), _recipients(record), _story(record))))


def _document(
    outbox: Outbox, record: MessageRecord, *, with_content: bool
) -> dict[str, object]:
    document = asdict(record)
    if with_content:
        content = content_of(outbox, record.id)
        document["content_base64"] = base64.b64encode(content).decode("ascii")
    return document


def _header(record: MessageRecord) -> str:
    waiting = record.state in (State.PENDING, State.UNKNOWN)
    lines = {
        "Message": record.id,
        "State": record.state,
        "Subject": record.subject,
        "From": record.return_path,
        "Message-ID": record.message_id,
        "Handed over": clock(record.enqueued_at),
        "Due": clock(record.due_at) if waiting else "",
        "Lane": record.lane,
        "Priority": str(record.priority) if record.priority else "",
        "Size": f"{record.size_bytes:,} bytes",
        "Batch": _batch(record),
        "Key": record.key or "",
        "Tag": record.tag or "",
        "Metadata": _json(record.metadata),
        "Template": _template(record.template),
    }
    return fields([(name, value) for name, value in lines.items() if value])


def _batch(record: MessageRecord) -> str:
    return f"{record.batch}, row {record.batch_row:,}" if record.batch else ""


def _template(template: Template | None) -> str:
    """What is still to be rendered."""
    if template is None:
        return ""
    language = "" if template.locale is None else f" in {template.locale}"
    return f"{template.name}{language} with {_json(template.context)}"


def _json(value: Any) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _recipients(record: MessageRecord) -> str:
    rows = [(one.address, one.state, str(one.reply or "")) for one in record.recipients]
    return table(("Recipient", "State", "Last reply"), rows)


def _story(record: MessageRecord) -> str:
    return table(STORY, [_step(record, event) for event in record.events])


def _step(record: MessageRecord, event: Event) -> tuple[str, ...]:
    since = (event.at - record.enqueued_at).total_seconds()
    return (
        str(event.step),
        f"{'+' if since >= 0 else ''}{duration(since)}",
        event.what,
        event.background,
        event.request,
        event.output,
    )


def _dialogues(record: MessageRecord) -> Iterator[str]:
    for event in record.events:
        if "dialogue" in event.detail:
            attempt = f"Attempt {event.detail['attempt']}: {event.kind}"
            lines = [f"  {printable(line)}" for line in event.detail["dialogue"]]
            yield "\n".join([f"{attempt}, {clock(event.at)}", *lines])
