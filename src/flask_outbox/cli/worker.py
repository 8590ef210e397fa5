"""``flask outbox worker``: couriers in processes of their own."""

from __future__ import annotations

import click
from flask import current_app

from .. import log
from ..app_state import this_app
from ..engines.supervisor import run_workers
from ..runtime import Runtime
from .group import app_runtime, json_option
from .output import LOG_FORMAT, log_on_stderr, print_document, say

LOG_FORMAT_OF_SEVERAL = "%(asctime)s %(process)d %(levelname)s %(message)s"


@click.command()
@click.option(
    "--processes",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="The number of processes that deliver, each with its own courier.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1_000),
    help="Overrides OUTBOX_CONCURRENCY in these processes.",
)
@click.option(
    "--until-drained",
    is_flag=True,
    help="Stop when nothing is due any more, or when the mail server is down.",
)
@json_option
def worker(
    processes: int, concurrency: int | None, until_drained: bool, as_json: bool
) -> None:
    """Deliver mail, until Ctrl-C or SIGTERM.

    Attempts that have begun are then finished within OUTBOX_GRACE_SECONDS, and the
    other messages are returned to the outbox. A second signal stops at once; nothing is
    lost. With --until-drained, for cron, the exit code is 1 if the mail server was down
    and 2 if the outbox could not be reached.
    """
    with log_on_stderr(LOG_FORMAT if processes == 1 else LOG_FORMAT_OF_SEVERAL):
        runtime = _runtime(concurrency)
        _tell(_opening(runtime, processes))
        app = this_app()
        result = run_workers(
            runtime.worker_context, app, processes, until_drained=until_drained
        )
    if as_json:
        print_document(
            {
                "couriers": result.couriers,
                "ended": result.ended,
                "attempts": result.attempts,
            }
        )
    else:
        say(result.summary)
    if result.fault is not None:
        raise click.ClickException(
            f"{result.fault} Due messages stay in the outbox for the next worker."
        )


def _runtime(concurrency: int | None) -> Runtime:
    """The app's runtime, made with this concurrency."""
    if concurrency is not None:
        current_app.config["OUTBOX_CONCURRENCY"] = concurrency
    runtime = app_runtime()
    if concurrency not in (None, runtime.settings.concurrency):
        raise click.ClickException(
            "The app used its outbox before this command began, with "
            f"OUTBOX_CONCURRENCY = {runtime.settings.concurrency}, so --concurrency "
            "has no effect: set OUTBOX_CONCURRENCY in the app's configuration."
        )
    return runtime


def _tell(opening: str) -> None:
    """Say on standard error what begins: as a line of the log, if those are JSON."""
    if log.writes_json():
        log.log.info("%s", opening)
    else:
        click.echo(opening, err=True)


def _opening(runtime: Runtime, processes: int) -> str:
    transports = runtime.settings.transports
    places = {one.place for one in transports.values() if not one.keeps_mail}
    destination = ", ".join(places) or "the dev inbox"
    noun = "Worker" if processes == 1 else f"{processes} worker processes"
    return (
        f"{noun} started: from the outbox at {runtime.outbox.database.shown} to "
        f"{destination}. Ctrl-C or SIGTERM stops."
    )
