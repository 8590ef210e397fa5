"""``flask outbox list``, ``show``, ``check``, and the actions on messages.

The actions, such as ``retry`` and ``cancel``, are those of `flask_outbox.actions`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import click

from ..actions import ACTIONS, Action, apply
from ..checks import Checked, Finding, Severity, check
from ..delivery import State
from ..errors import MessageNotFound
from ..feedback import Fate
from ..history import Step, describe
from ..humanize import clock, duration
from ..mime.parse import parse_message
from ..outbox import Outbox
from ..outbox.records import GONE, MessageRecord, MessageSummary, Search
from ..runtime import Runtime
from .group import acting, app_runtime, json_option, limit_option
from .input import full_id
from .output import fields, print_document, printable, say, say_error, table

EXIT_CODE = "The exit code is 1 if this fails for any of the messages."


@dataclass(frozen=True, slots=True)
class Result:
    """The result of an action for one message."""

    id: str
    done: bool
    state: State | None
    """Its state afterwards; None where there is no such message."""
    error: str | None = None


def _command(name: str) -> click.Command:
    """Make the command for the action ``name``."""
    action = ACTIONS[name]

    @click.command(name, help=f"{action.effect}\n\n{EXIT_CODE}")
    @click.argument("ids", metavar="ID...", nargs=-1, required=True)
    @json_option
    @click.pass_context
    def command(context: click.Context, ids: tuple[str, ...], as_json: bool) -> None:
        runtime = app_runtime()
        results = [_carry_out(runtime, action, given) for given in ids]
        if as_json:
            print_document({"results": [asdict(one) for one in results]})
        else:
            for one in results:
                _show_result(one, action)
        context.exit(0 if all(one.done for one in results) else 1)

    return command


def _carry_out(runtime: Runtime, action: Action, given: str) -> Result:
    try:
        id = full_id(runtime.outbox, given)
    except MessageNotFound as error:
        return Result(given, False, None, str(error))
    result = apply(partial(action.do, runtime, actor=acting()), id)
    state = _state(runtime.outbox, id)
    return Result(id, result.error is None, state, result.error)


def _state(outbox: Outbox, id: str) -> State | None:
    try:
        return outbox.get(id).state
    except MessageNotFound:
        return None


def _show_result(one: Result, action: Action) -> None:
    if one.error is None:
        say(f"{one.id}  {action.done}")
    else:
        say_error(one.error)


retry: click.Command = _command("retry")
cancel: click.Command = _command("cancel")
release: click.Command = _command("release")
drop: click.Command = _command("drop")
send_again: click.Command = _command("send-again")


HEADINGS = ("Id", "State", "Age", "Attempts", "To", "Subject")


@click.command("list")
@click.option(
    "--state",
    type=click.Choice([one.value for one in State]),
    help="Only messages in this state.",
)
@click.option(
    "--fate",
    type=click.Choice([one.value for one in Fate]),
    help="Only messages with a recipient who has this fate.",
)
@limit_option
@click.option("--before", metavar="ID", help="Only messages enqueued before this one.")
@json_option
def list_messages(
    state: str | None, fate: str | None, limit: int, before: str | None, as_json: bool
) -> None:
    """Show the newest messages first."""
    outbox = app_runtime().outbox
    wanted = Search(
        state=State(state) if state else None, fate=Fate(fate) if fate else None
    )
    page = outbox.search(wanted, limit, before=before and before.upper())
    found = page.messages
    if as_json:
        print_document({"messages": found})
    elif found:
        say(table(HEADINGS, [_row(one, outbox.clock()) for one in found]))
    elif not page.older:
        say("There are no messages.")
    if page.older and not as_json:
        say(f"\nOlder ones: --before {page.older}")
    if not as_json:
        for batch in outbox.moves():
            say(f"\n{batch}")


def _row(one: MessageSummary, now: float) -> tuple[str, ...]:
    return (
        one.id,
        f"{one.state}, {one.fate.words}" if one.fate else one.state,
        duration(now - one.enqueued_at.timestamp()),
        str(one.attempts),
        _everyone(one.recipients),
        one.subject,
    )


def _everyone(addresses: Sequence[str]) -> str:
    first, *others = addresses
    return f"{first} and {len(others)} more" if others else first


HISTORY = ("Step", "At", "What happened", "Background work", "Web request", "Output")


@click.command()
@click.argument("id")
@click.option(
    "--content",
    "part",
    flag_value="content",
    help="Print the RFC 5322 source instead.",
)
@click.option(
    "--dialogue",
    "part",
    flag_value="dialogue",
    help="Print the SMTP dialogue of each attempt instead.",
)
@json_option
def show(id: str, part: str | None, as_json: bool) -> None:
    """Show a message, its recipients and its history.

    ID is the message's id, or a unique prefix of it.
    """
    outbox = app_runtime().outbox
    record = outbox.get(full_id(outbox, id))
    if record.template is not None and not record.hidden:
        outbox.trail.note_view(acting(), record.id)
    if as_json:
        print_document(_document(outbox, record, with_content=part == "content"))
    elif part == "content":
        click.echo(_content_of(outbox, record), nl=False)
    elif part == "dialogue":
        say("\n\n".join(_dialogues(record)) or _no_dialogue(record))
    else:
        say("\n\n".join(_report(record)))


def _report(record: MessageRecord) -> Iterator[str]:
    yield _header(record)
    yield _recipients(record)
    if any(one.fate for one in record.recipients):
        yield _fates(record)
    yield _history(record)


def _content_of(outbox: Outbox, record: MessageRecord) -> bytes:
    """A message's content (RFC 5322); the audit trail has that it is shown.

    Raises `SensitiveContent` if nobody may see it, and `MessageNotFound` if it was
    pruned or is not rendered yet.
    """
    content = outbox.content(record.id)
    if content is not None:
        outbox.trail.note_view(acting(), record.id)
        return content
    if record.template is not None:
        raise MessageNotFound(
            f"Message {record.id} has no content yet: a courier renders its "
            f"template {record.template.name!r} when it delivers it."
        )
    raise MessageNotFound(f"The content of message {record.id} {GONE}.")


def _document(
    outbox: Outbox, record: MessageRecord, *, with_content: bool
) -> dict[str, object]:
    document = asdict(record)
    if with_content:
        content = _content_of(outbox, record)
        document["content_base64"] = base64.b64encode(content).decode("ascii")
    return document


def _header(record: MessageRecord) -> str:
    waiting = record.state in (State.PENDING, State.UNKNOWN)
    lines = {
        "Message": record.id,
        "State": record.state,
        "Subject": record.subject,
        "Return path": record.return_path,
        "Message-ID": record.rfc_message_id,
        "Enqueued": clock(record.enqueued_at),
        "Due": clock(record.due_at) if waiting else "",
        "Lane": record.lane,
        "Priority": str(record.priority) if record.priority else "",
        "Size": f"{record.size_bytes:,} bytes",
        "Batch": _batch(record),
        "Trace": record.trace_id or "",
        "Key": record.key or "",
        "Tag": record.tag or "",
        "Sensitive": _sensitive(record),
        "Metadata": _json(record.metadata),
        "Template": _template(record),
    }
    return fields([(name, value) for name, value in lines.items() if value])


def _batch(record: MessageRecord) -> str:
    return f"{record.batch}, row {record.batch_row:,}" if record.batch else ""


def _sensitive(record: MessageRecord) -> str:
    if record.hidden:
        return "yes: its content is shown to nobody"
    return "yes, in the dev inbox" if record.sensitive else ""


def _template(record: MessageRecord) -> str:
    """Describe the template that is still to be rendered."""
    template = record.template
    if template is None:
        return ""
    language = "" if template.locale is None else f" in {template.locale}"
    context = "" if record.hidden else f" with {_json(template.context)}"
    return f"{template.name}{language}{context}"


def _json(value: Any) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _recipients(record: MessageRecord) -> str:
    rows = [(one.address, one.state, str(one.reply or "")) for one in record.recipients]
    return table(("Recipient", "State", "Last reply"), rows)


def _fates(record: MessageRecord) -> str:
    rows = [
        (
            one.address,
            one.fate.words,
            clock(one.fate_at) if one.fate_at else "",
            one.fate_text or "",
        )
        for one in record.recipients
        if one.fate
    ]
    return table(("Recipient", "Fate", "Since", "Words"), rows)


def _history(record: MessageRecord) -> str:
    return table(HISTORY, [_step(record, step) for step in describe(record)])


def _step(record: MessageRecord, step: Step) -> tuple[str, ...]:
    since = (step.event.at - record.enqueued_at).total_seconds()
    return (
        str(step.number),
        f"{'+' if since >= 0 else ''}{duration(since)}",
        step.what,
        step.background,
        step.request,
        step.output,
    )


def _dialogues(record: MessageRecord) -> Iterator[str]:
    for event in record.events:
        if "dialogue" in event.detail:
            attempt = f"Attempt {event.detail['attempt']}: {event.kind}"
            lines = [f"  {printable(line)}" for line in event.detail["dialogue"]]
            yield "\n".join([f"{attempt}, {clock(event.at)}", *lines])


def _no_dialogue(record: MessageRecord) -> str:
    if record.hidden:
        return "It was sent with sensitive=True: its dialogues are not kept."
    return "No attempt has talked to a server yet."


@click.command("check")
@click.argument("id")
@json_option
@click.pass_context
def check_message(context: click.Context, id: str, as_json: bool) -> None:
    """Check a message for problems that its readers would see.

    ID is the message's id, or a unique prefix of it. The exit code is 1 if something
    is broken, such as a link, an image or an unfilled placeholder. Nothing is fetched.
    """
    outbox = app_runtime().outbox
    record = outbox.get(full_id(outbox, id))
    content = _content_of(outbox, record)
    checked = check(parse_message(content), size_bytes=len(content), tag=record.tag)
    if as_json:
        print_document(checked)
    else:
        say(_findings(checked.findings) or "No problems found.")
    context.exit(_exit_code(checked))


def _findings(findings: tuple[Finding, ...]) -> str:
    rows = [(one.severity, one.what, one.todo) for one in findings]
    return table(("Severity", "Problem", "What to do"), rows) if rows else ""


def _exit_code(checked: Checked) -> int:
    return 1 if checked.count(Severity.BROKEN) else 0
