"""The group of commands, each imported when it is used, and their common options."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import click
from flask import current_app
from flask.cli import with_appcontext

from ..app_state import state_of
from ..errors import OutboxError, OutboxUnavailable, SchemaError

if TYPE_CHECKING:
    from ..outbox.records import Actor
    from ..runtime import Runtime


Command = TypeVar("Command", bound=Callable[..., object] | click.Command)


class OutOfReach(click.ClickException):
    """The outbox cannot be used: a one-sentence error with exit code 2."""

    exit_code = 2


COMMANDS = {
    "audit": "audit.audit",
    "batch": "batches.batch",
    "cancel": "messages.cancel",
    "check": "messages.check_message",
    "doctor": "doctor.doctor",
    "drop": "messages.drop",
    "feedback": "feedback.feedback",
    "health": "health.health",
    "init": "schema.init",
    "list": "messages.list_messages",
    "metrics": "metrics.metrics",
    "move": "move.move",
    "new-key": "encryption.new_key",
    "pause": "lanes.pause",
    "person": "person.person",
    "prune": "schema.prune",
    "rekey": "encryption.rekey",
    "release": "messages.release",
    "resume": "lanes.resume",
    "retry": "messages.retry",
    "send-again": "messages.send_again",
    "send-many": "batches.send_many",
    "show": "messages.show",
    "status": "status.status",
    "suppress": "suppressions.suppress",
    "suppressions": "suppressions.suppressions",
    "sync-suppressions": "suppression_sync.sync_suppressions",
    "templates": "templates.templates",
    "unsuppress": "suppressions.unsuppress",
    "upgrade": "schema.upgrade",
    "webhooks": "webhooks.webhooks",
    "worker": "worker.worker",
}
"""Each command's module and function."""


class OutboxGroup(click.Group):
    """A group that loads each command when it is asked for.

    The commands report our errors in a sentence, with exit code 1. If the outbox itself
    cannot be used, the exit code is 2.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, in order."""
        return sorted({*COMMANDS, *self.commands})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            module, _, function = COMMANDS[cmd_name].partition(".")
            loaded = import_module(f".{module}", __package__)
            self.add_command(getattr(loaded, function))
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that ``ctx`` names."""
        try:
            return super().invoke(ctx)
        except (OutboxUnavailable, SchemaError) as error:
            raise OutOfReach(str(error)) from error
        except OutboxError as error:
            raise click.ClickException(str(error)) from error


@click.group("outbox", cls=OutboxGroup)
@with_appcontext
def outbox_commands() -> None:
    """Inspect and operate the app's outbox."""


def app_runtime() -> Runtime:
    """The runtime of the app that the command is for."""
    return state_of(current_app).runtime


def acting() -> Actor:
    """The person who runs this command, for the audit trail: the user of the operating
    system, and who became that by sudo.
    """
    from ..outbox.records import Actor

    user, before = _os_user(), os.environ.get("SUDO_USER")
    return Actor.named(f"{before} as {user}" if before else user, "cli")


def _os_user() -> str:
    """The user's name by the id of the process: the environment may say anything."""
    try:
        import pwd
    except ImportError:
        import getpass

        return getpass.getuser()
    id = os.getuid()
    try:
        return pwd.getpwuid(id).pw_name
    except KeyError:
        return f"uid {id}"


def json_option(command: Command) -> Command:
    """The option ``--json``."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document, for machines."
    )(command)


def limit_option(command: Command) -> Command:
    """The option ``--limit``."""
    return click.option(
        "--limit",
        default=20,
        show_default=True,
        type=click.IntRange(1, 1_000),
        help="Show at most this many.",
    )(command)
