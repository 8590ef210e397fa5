"""What a person may do to messages: retry, cancel, release, drop, send again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import click

from ..delivery import State
from ..errors import MessageNotFound, TransitionRefused
from ..outbox.store import Outbox
from .group import app_runtime, json_option
from .ids import full_id
from .output import print_document, say


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it for one message."""

    id: str
    done: bool
    state: State | None
    """Its state afterwards; None where there is no such message."""
    error: str | None = None


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@json_option
@click.pass_context
def retry(context: click.Context, ids: tuple[str, ...], as_json: bool) -> None:
    """Try messages again now, for every recipient who has not got them.

    The exit code is 1 when that could not be done for one of them.
    """
    runtime = app_runtime()
    results = _each(runtime.outbox, ids, runtime.retry)
    _tell(context, results, "due now", as_json)


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@json_option
@click.pass_context
def cancel(context: click.Context, ids: tuple[str, ...], as_json: bool) -> None:
    """Take messages out before they are delivered.

    The exit code is 1 when that could not be done for one of them.
    """
    runtime = app_runtime()
    _tell(context, _each(runtime.outbox, ids, runtime.cancel), "cancelled", as_json)


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@json_option
@click.pass_context
def release(context: click.Context, ids: tuple[str, ...], as_json: bool) -> None:
    """Send unknown messages once more, though they may have arrived.

    Only to those recipients of whom nobody knows. The exit code is 1 when that could
    not be done for one of them.
    """
    runtime = app_runtime()
    _tell(context, _each(runtime.outbox, ids, runtime.release), "due now", as_json)


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@json_option
@click.pass_context
def drop(context: click.Context, ids: tuple[str, ...], as_json: bool) -> None:
    """Have done with unknown messages, which may have arrived.

    The exit code is 1 when that could not be done for one of them.
    """
    runtime = app_runtime()
    _tell(context, _each(runtime.outbox, ids, runtime.drop), "dropped", as_json)


@click.command("send-again")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@json_option
@click.pass_context
def send_again(context: click.Context, ids: tuple[str, ...], as_json: bool) -> None:
    """Send finished messages to their recipients once more, as new messages.

    The exit code is 1 when that could not be done for one of them.
    """
    runtime = app_runtime()
    results = _each(runtime.outbox, ids, runtime.send_again)
    _tell(context, results, "sent again", as_json)


def _each(
    outbox: Outbox, ids: tuple[str, ...], change: Callable[[str], object]
) -> list[Result]:
    return [_one(outbox, given, change) for given in ids]


def _one(outbox: Outbox, given: str, change: Callable[[str], object]) -> Result:
    try:
        message_id = full_id(outbox, given)
    except MessageNotFound as error:
        return Result(given, False, None, str(error))
    try:
        change(message_id)
    except MessageNotFound as error:
        return Result(message_id, False, None, str(error))
    except TransitionRefused as error:
        return Result(message_id, False, outbox.get(message_id).state, str(error))
    return Result(message_id, True, outbox.get(message_id).state)


def _tell(
    context: click.Context, results: list[Result], done: str, as_json: bool
) -> None:
    if as_json:
        print_document({"results": [asdict(one) for one in results]})
    else:
        for one in results:
            _tell_one(one, done)
    context.exit(0 if all(one.done for one in results) else 1)


def _tell_one(one: Result, done: str) -> None:
    if one.error is None:
        say(f"{one.id}  {done}")
    else:
        click.echo(f"Error: {one.error}", err=True)
