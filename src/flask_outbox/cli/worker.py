"""``flask outbox worker``: couriers in processes of their own."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import click
from flask import Flask, current_app

from ..runtime import Runtime
from .group import app_runtime, json_option
from .obeying import obeying
from .outcome import Outcome
from .output import print_document, say
from .processes import Processes
from .shift import Shift

LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"
LOG_FORMAT_OF_SEVERAL = "%(asctime)s %(process)d %(levelname)s %(message)s"


@click.command()
@click.option(
    "--processes",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="How many processes deliver, each with a courier of its own.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1_000),
    help="Stands in for OUTBOX_CONCURRENCY in these processes.",
)
@click.option(
    "--until-drained",
    is_flag=True,
    help="End when nothing is due any more, or when the mail server is down.",
)
@json_option
def worker(
    processes: int, concurrency: int | None, until_drained: bool, as_json: bool
) -> None:
    """Deliver mail, until Ctrl-C or SIGTERM.

    What has been begun is then finished within OUTBOX_GRACE_SECONDS, and the rest is
    given back to the outbox. A second signal ends at once; nothing is lost by it.
    With --until-drained, for cron, the exit code is 1 when the mail server was down and
    2 when the outbox was out of reach.
    """
    with _log_shown(LOG_FORMAT if processes == 1 else LOG_FORMAT_OF_SEVERAL):
        runtime = _runtime(concurrency)
        click.echo(_opening(runtime, processes), err=True)
        outcome = _deliver(runtime, processes, until_drained)
    if as_json:
        print_document(
            {
                "couriers": outcome.couriers,
                "ended": outcome.ended,
                "attempts": outcome.attempts,
            }
        )
    else:
        say(outcome.summary)
    if outcome.fault is not None:
        raise click.ClickException(
            f"{outcome.fault} What is due is kept, and the next worker tries again."
        )


def _runtime(concurrency: int | None) -> Runtime:
    """The app's runtime, which reads the settings when it is made."""
    if concurrency is not None:
        current_app.config["OUTBOX_CONCURRENCY"] = concurrency
    runtime = app_runtime()
    if concurrency not in (None, runtime.settings.concurrency):
        raise click.ClickException(
            "The app has used its outbox before this command began, with "
            f"OUTBOX_CONCURRENCY = {runtime.settings.concurrency}: set it there, "
            "instead of --concurrency."
        )
    return runtime


def _deliver(runtime: Runtime, processes: int, until_drained: bool) -> Outcome:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    grace_seconds = runtime.settings.grace_seconds
    if processes == 1:
        shift = Shift(runtime.worker_crew, app)
        with obeying(shift.stop, grace_seconds):
            return shift.run(until_drained=until_drained)
    if not hasattr(os, "fork"):
        raise click.ClickException(
            "This system cannot fork: start several workers instead of one with "
            "--processes."
        )
    several = Processes(
        processes, lambda: Shift(runtime.worker_crew, app), grace_seconds
    )
    with obeying(several.stop, grace_seconds, several.end_at_once):
        return several.run(until_drained=until_drained)


def _opening(runtime: Runtime, processes: int) -> str:
    transports = runtime.settings.transports
    places = {one.place for one in transports.values() if one.smtp}
    leaves = f"leaves by {', '.join(places)}" if places else "is kept in the dev inbox"
    working = "Working" if processes == 1 else f"{processes} processes work"
    return (
        f"{working} on the outbox at {runtime.outbox.database.shown}; mail {leaves}. "
        "Ctrl-C or SIGTERM stops."
    )


@contextmanager
def _log_shown(form: str) -> Iterator[None]:
    """Show our log on standard error, unless the app has decided where it goes."""
    log = logging.getLogger("flask_outbox")
    if log.hasHandlers():
        yield
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(form))
    level = log.level
    log.addHandler(handler)
    log.setLevel(level or logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
