"""``flask outbox health``: a probe for containers whose only probe is a command."""

from __future__ import annotations

import socket
from dataclasses import dataclass

import click

from ..errors import StoreError
from ..health import CHECK_SECONDS, OutboxHealth, Readiness
from ..runtime import Runtime
from .group import app_runtime, json_option
from .output import print_document, say


@click.command()
@click.option(
    "--live/--ready",
    "live",
    default=False,
    help="Check that a courier on this machine works, or (the default) that mail can "
    "be enqueued.",
)
@click.option(
    "--timeout",
    "limit_seconds",
    default=CHECK_SECONDS,
    show_default=True,
    type=click.FloatRange(min=0.1),
    metavar="SECONDS",
    help="How long to wait for the outbox.",
)
@json_option
@click.pass_context
def health(
    context: click.Context, live: bool, limit_seconds: float, as_json: bool
) -> None:
    """Tell whether this machine's worker works, or whether the outbox takes mail.

    The exit code is 0 if so, and 1 if not. --ready checks that the outbox can be
    reached, has the tables of this version, and stores durably; transports that are
    down and alerts are named, but make no difference. --live looks for a live courier
    on this machine. While the outbox does not answer, that cannot be known, and
    restarting the worker would not help: the exit code is then 0.
    """
    runtime = app_runtime()
    readiness = runtime.readiness(limit_seconds)
    found = _liveness(runtime, readiness) if live else _readiness(readiness)
    if as_json:
        print_document({"well": found.well, "why": found.why})
    else:
        say(found.why)
    context.exit(0 if found.well else 1)


@dataclass(frozen=True, slots=True)
class _Finding:
    well: bool
    why: str


def _readiness(found: Readiness) -> _Finding:
    if not found.ready:
        return _Finding(False, found.trouble)
    down = ", ".join(found.lanes_down)
    said = [
        "Ready.",
        *([f"These lanes are down: {down}."] if down else []),
        *(f"Alert: {one.words}" for one in found.alerts),
    ]
    return _Finding(True, " ".join(said))


def _liveness(runtime: Runtime, readiness: Readiness) -> _Finding:
    if readiness.outbox is OutboxHealth.SILENT:
        return _unknown(readiness.trouble)
    host = socket.gethostname()
    try:
        couriers = runtime.outbox.couriers()
    except StoreError as error:
        return _unknown(str(error))
    if any(one.alive for one in couriers if one.host == host):
        return _Finding(True, f"A courier of this machine ({host}) is alive.")
    return _Finding(False, f"No courier of this machine ({host}) is alive.")


def _unknown(trouble: str) -> _Finding:
    return _Finding(True, f"Whether a courier is alive cannot be known. {trouble}")
