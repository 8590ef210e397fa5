"""The outbox's database, and whether anybody delivers what is in it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from ..errors import OutboxUnavailable, SchemaError
from ..humanize import counted, duration
from ..outbox import REVISION, Database, Outbox, open_to_others, survey_database
from ..runtime import Runtime
from .findings import Section

SLOW_SECONDS = 1.0
"""From this on a question is slow."""

CLOCK_SECONDS = 2.0
"""From this on a clock is off."""

Clock = Callable[[], float]

_STARTS = {
    "external": ("Start a worker", "flask outbox worker"),
    "celery": ("Start a worker of the app's Celery app", ""),
}


def examine_database(
    runtime: Runtime, clock: Clock = time.time, tick: Clock = time.perf_counter
) -> Section:
    """Examine the database without changing it.

    ``clock`` is this machine's, and ``tick`` measures how long answers take.
    """
    section = Section("database")
    database = runtime.outbox.database
    section.note("Place", database.shown)
    try:
        if _has_tables(section, database):
            _examine(section, runtime, clock, tick)
    except SchemaError as error:
        section.find(
            "outbox-tables",
            str(error),
            "Run the command or install the version that the message names.",
        )
    except OutboxUnavailable as error:
        section.find(
            "outbox-unavailable",
            str(error),
            "Correct OUTBOX_URL, or start the database; the message says which.",
        )
    return section


def _has_tables(section: Section, database: Database) -> bool:
    """Whether there is something to examine: an SQLite file is made at first use."""
    file = Path(database.url.database or "")
    if database.embedded and not file.is_file():
        section.note("Tables", "none yet: the file is made at first use")
        folder = next(one for one in file.absolute().parents if one.exists())
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            section.find(
                "outbox-folder-missing",
                f"{folder} cannot be written to.",
                "Make it, owned by the user that runs the app; or set another "
                "OUTBOX_URL.",
                f"mkdir -p {file.parent}",
            )
        return False
    version = database.version()
    section.note("Tables", f"version {version}, this Flask-Outbox has {REVISION}")
    if database.embedded and version != REVISION:
        section.note("Upgrade", "the tables are brought up to date at first use")
        return False
    return True


def _examine(section: Section, runtime: Runtime, clock: Clock, tick: Clock) -> None:
    outbox, settings = runtime.outbox, runtime.settings
    found = survey_database(outbox.database, clock)
    section.note("Database", found.system)
    section.note("Size", f"{found.size_bytes / 1e6:,.1f} MB")
    _check_speed(section, outbox, tick)
    if abs(found.clock_offset_seconds) > CLOCK_SECONDS:
        section.find(
            "clock-off",
            f"They differ by {duration(abs(found.clock_offset_seconds))}.",
            "Have both machines set their clocks by NTP.",
            "timedatectl set-ntp true",
        )
    if found.not_synced is not None and settings.durability == "full":
        name, value, wanted = found.not_synced
        section.find(
            "database-not-synced",
            f"The server has {name} = {value}.",
            "Set it in the server's configuration.",
            f"{name} = {wanted}",
        )
    if found.pooled and settings.engine == "external" and not settings.listen_url:
        section.find(
            "pooler-in-between",
            f"{outbox.database.shown} leads to a pooler.",
            "Name the database itself for notifications.",
            'OUTBOX_LISTEN_URL = "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"',
        )
    if wide := open_to_others(settings.url):
        files = " ".join(wide)
        section.find(
            "files-open-to-others", f"Open are: {files}", write=f"chmod o= {files}"
        )
    _check_digests(section, outbox)
    _check_couriers(section, runtime)


def _check_digests(section: Section, outbox: Outbox) -> None:
    """Find digests of erased addresses that a change of SECRET_KEY has made useless."""
    unknown = outbox.unknown_digests()
    if unknown:
        section.find(
            "erased-not-suppressed",
            f"{counted(unknown, 'suppression')} of erased people: made with a key that "
            "is neither SECRET_KEY nor in SECRET_KEY_FALLBACKS.",
            "Put the former key back. If nobody has it any more, end these with flask "
            "outbox unsuppress: they are on the list as digest:…, and of no use.",
            'SECRET_KEY_FALLBACKS = ["the former SECRET_KEY"]',
        )


def _check_speed(section: Section, outbox: Outbox, tick: Clock) -> None:
    """Ask what couriers and the dashboard ask, and note the slowest answer."""
    seconds = {}
    for name, ask in (
        ("is anything due", outbox.anything_due),
        ("which lanes are paused", outbox.lanes),
        ("how many messages are in which state", outbox.status),
    ):
        began = tick()
        ask()
        seconds[name] = tick() - began
    slowest = max(seconds, key=lambda name: seconds[name])
    section.note("Slowest question", f"{slowest}: {duration(seconds[slowest])}")
    if seconds[slowest] > SLOW_SECONDS:
        section.find(
            "outbox-slow",
            f"To find out {slowest} took {duration(seconds[slowest])}.",
            "Delete what is old, or set a shorter OUTBOX_KEEP_ROWS; then look at the "
            "database's load and disk.",
            "flask outbox prune",
        )


def _check_couriers(section: Section, runtime: Runtime) -> None:
    engine = runtime.settings.engine
    status = runtime.outbox.status()
    alive = [one for one in status.couriers if one.alive]
    section.note("Couriers", f"{len(alive)} alive")
    if engine in _STARTS and not alive:
        todo, write = _STARTS[engine]
        section.find(
            "no-worker",
            f"OUTBOX_ENGINE is {engine!r}, and no courier is alive: "
            f"{counted(status.due, 'message')} due.",
            f"{todo}, and have it started with the machine.",
            write,
        )
