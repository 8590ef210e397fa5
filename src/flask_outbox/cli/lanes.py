"""``flask outbox pause`` and ``resume``: lanes paused and resumed by a person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial

import click

from ..humanize import clock
from ..runtime import Runtime
from ..status import LaneStatus, lane_statuses
from .group import acting, app_runtime, json_option
from .output import print_document, printable, say, table


@click.command()
@click.argument("lanes", metavar="[LANE]...", nargs=-1)
@click.option("--reason", default="", help="The reason, shown with the status.")
@json_option
def pause(lanes: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Pause these lanes, or all of them.

    Nothing is sent by them until they are resumed. New messages are still stored.
    Attempts that have begun are finished, and couriers claim nothing more within
    OUTBOX_POLL_SECONDS, or at once where PostgreSQL notifies them. There is no failover
    for a lane that is paused this way.
    """
    runtime = app_runtime()
    pause_one = partial(
        runtime.outbox.pause_lane_by_operator, reason=reason, actor=acting()
    )
    _change(runtime, lanes, pause_one, as_json)


@click.command()
@click.argument("lanes", metavar="[LANE]...", nargs=-1)
@json_option
def resume(lanes: tuple[str, ...], as_json: bool) -> None:
    """Resume these lanes, or all of them.

    A lane whose transport is down stays paused until a probe succeeds.
    """
    runtime = app_runtime()
    resume_one = partial(runtime.outbox.resume_lane_by_operator, actor=acting())
    _change(runtime, lanes, resume_one, as_json)


def _change(
    runtime: Runtime,
    lanes: tuple[str, ...],
    change: Callable[[str], None],
    as_json: bool,
) -> None:
    for name in lanes:
        runtime.check_transport(name)
    for name in lanes or runtime.settings.transports:
        change(name)
    present = lane_statuses(
        runtime.settings, runtime.outbox.lanes(), resolves=runtime.resolves_transports
    )
    if as_json:
        print_document({"lanes": [asdict(one) for one in present]})
    else:
        say(lanes_shown(present))


def lanes_shown(lanes: Sequence[LaneStatus]) -> str:
    """A table of the lanes; below it, why each paused one is paused."""
    headings = ("Lane", "Delivers to", "Rate", "Waiting", "State")
    rows = table(headings, [_row(one) for one in lanes])
    return "\n".join([rows, *(_why(one) for one in lanes if one.paused_by)])


def _row(one: LaneStatus) -> tuple[str, ...]:
    place, rate = one.leaves_by or "nothing", one.rate or "no limit"
    state = "paused" if one.paused_by else "open"
    return one.name, place, rate, f"{one.waiting:,}", state


def _why(one: LaneStatus) -> str:
    if one.until is not None and one.since is not None:
        why = (
            f"Lane {one.name} is down since {clock(one.since)}, next probe "
            f"{clock(one.until)}: {one.reason}"
        )
    else:
        why = f"Lane {one.name} was paused by a person"
        why += f": {one.reason}" if one.reason else "."
    return printable(why)
