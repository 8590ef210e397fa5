"""``flask outbox worker``: a courier in a process of its own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import click
from flask import Flask, current_app

from ..runtime import Runtime
from .group import app_runtime, json_option
from .output import print_document, say
from .shift import Shift

LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"


@click.command()
@click.option(
    "--until-drained",
    is_flag=True,
    help="End when nothing is due any more, or when the mail server is down.",
)
@json_option
def worker(until_drained: bool, as_json: bool) -> None:
    """Deliver mail, until Ctrl-C or SIGTERM.

    What has been begun is then finished within OUTBOX_GRACE_SECONDS, and the rest is
    given back to the outbox. A second signal ends at once; nothing is lost by it.
    With --until-drained, for cron, the exit code is 1 when the mail server was down and
    2 when the outbox was out of reach.
    """
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    with _log_shown():
        runtime = app_runtime()
        shift = Shift(runtime.crew, app)
        click.echo(_opening(runtime), err=True)
        if until_drained:
            shift.run_until_drained()
        else:
            shift.run()
    if as_json:
        print_document(shift.outcome)
    else:
        say(shift.summary)
    if shift.down is not None:
        raise click.ClickException(
            f"{shift.down} What is due is kept, and the next worker tries again."
        )


def _opening(runtime: Runtime) -> str:
    transports = runtime.settings.transports
    places = {one.place for one in transports.values() if one.smtp}
    leaves = f"leaves by {', '.join(places)}" if places else "is kept in the dev inbox"
    return (
        f"Working on the outbox at {runtime.outbox.database.shown}; mail {leaves}. "
        "Ctrl-C or SIGTERM stops."
    )


@contextmanager
def _log_shown() -> Iterator[None]:
    """Show our log on standard error, unless the app has decided where it goes."""
    log = logging.getLogger("flask_outbox")
    if log.hasHandlers():
        yield
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    level = log.level
    log.addHandler(handler)
    log.setLevel(level or logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
