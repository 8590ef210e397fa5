"""``flask outbox pause`` and ``resume``: what a person may do to lanes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import click

from ..config import listed
from ..runtime import Runtime
from ..standing import standings
from .group import app_runtime, json_option
from .lanes import lanes_shown
from .output import print_document, say


@click.command()
@click.argument("lanes", metavar="[LANE]...", nargs=-1)
@click.option("--reason", default="", help="Why, for whoever asks.")
@json_option
def pause(lanes: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Let nothing leave by these lanes, or by any, until they are resumed.

    Messages go on being kept. What has been begun is finished, and each courier claims
    nothing more within OUTBOX_POLL_SECONDS, or at once where PostgreSQL wakes it.
    Nothing stands in for a lane that is paused so.
    """
    runtime = app_runtime()
    hold = runtime.outbox.hold_lane
    _change(runtime, lanes, lambda name: hold(name, reason), as_json)


@click.command()
@click.argument("lanes", metavar="[LANE]...", nargs=-1)
@json_option
def resume(lanes: tuple[str, ...], as_json: bool) -> None:
    """End the pause of these lanes, or of all.

    One whose transport is in trouble stays paused until a probe finds it well.
    """
    runtime = app_runtime()
    _change(runtime, lanes, runtime.outbox.let_lane_go, as_json)


def _change(
    runtime: Runtime,
    lanes: tuple[str, ...],
    change: Callable[[str], None],
    as_json: bool,
) -> None:
    known = runtime.settings.transports
    for name in lanes:
        if name not in known:
            raise click.ClickException(
                f"There is no lane {name!r}: this app has {listed(known)}."
            )
    for name in lanes or known:
        change(name)
    present = standings(runtime.settings, runtime.outbox.lanes())
    if as_json:
        print_document({"lanes": [asdict(one) for one in present]})
    else:
        say(lanes_shown(present))
