"""The group of commands, and what they share: the runtime, errors, options."""

from __future__ import annotations

from typing import Any

import click
from flask import current_app
from flask.cli import with_appcontext

from ..errors import OutboxError, OutboxUnavailable, SchemaError
from ..runtime import Runtime


class OutOfReach(click.ClickException):
    """The outbox cannot be used: told in a sentence, exit code 2."""

    exit_code = 2


class OutboxGroup(click.Group):
    """Ends each command that meets one of our errors with its sentence, in exit code 1.

    Where the outbox itself cannot be used, the exit code is 2.
    """

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
    """See and work the app's outbox."""


def app_runtime() -> Runtime:
    """The runtime of the app that the command is for."""
    runtime: Runtime = current_app.extensions["outbox"].runtime
    return runtime


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document, for machines."
)

limit_option = click.option(
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(1, 1_000),
    help="Show at most so many.",
)
