"""What a person may do to messages: retry, cancel, release, drop, send again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import click

from ..delivery import State
from ..errors import MessageNotFound, TransitionRefused
from ..outbox.store import Outbox
from ..runtime import Runtime
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


Change = Callable[[str], object]
"""What is done to the message of an id."""


def _command(done: str) -> Callable[[Callable[[Runtime], Change]], click.Command]:
    """Make a command of a function that answers which change to make.

    The function's docstring is the command's help, ``done`` is said of each message.
    """

    def make(choose: Callable[[Runtime], Change]) -> click.Command:
        @click.command(choose.__name__.replace("_", "-"), help=choose.__doc__)
        @click.argument("ids", metavar="ID...", nargs=-1, required=True)
        @json_option
        @click.pass_context
        def command(
            context: click.Context, ids: tuple[str, ...], as_json: bool
        ) -> None:
            runtime = app_runtime()
            change = choose(runtime)
            results = [_one(runtime.outbox, given, change) for given in ids]
            _tell(context, results, done, as_json)

        return command

    return make


@_command("due now")
def retry(runtime: Runtime) -> Change:
    """Try messages again now, for every recipient who has not got them.

    The exit code is 1 when that could not be done for one of them.
    """
    return runtime.retry


@_command("cancelled")
def cancel(runtime: Runtime) -> Change:
    """Take messages out before they are delivered.

    The exit code is 1 when that could not be done for one of them.
    """
    return runtime.cancel


@_command("due now")
def release(runtime: Runtime) -> Change:
    """Send unknown messages once more, though they may have arrived.

    Only to those recipients of whom nobody knows. The exit code is 1 when that could
    not be done for one of them.
    """
    return runtime.release


@_command("dropped")
def drop(runtime: Runtime) -> Change:
    """Have done with unknown messages, which may have arrived.

    The exit code is 1 when that could not be done for one of them.
    """
    return runtime.drop


@_command("sent again")
def send_again(runtime: Runtime) -> Change:
    """Send finished messages to their recipients once more, as new messages.

    The exit code is 1 when that could not be done for one of them.
    """
    return runtime.send_again


def _one(outbox: Outbox, given: str, change: Change) -> Result:
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
