"""The kinds of server: how each starts, and which signals end it gracefully."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals

APP = "tests.process_models.app"
PLAIN_FLASK = (sys.executable, "-m", "tests.plain_flask")
WORKERS = 2
RECYCLED = "--max-requests=7"
"""After so many requests a worker is replaced."""

WATCHED = "watched"
"""The file, beside the outbox, whose change triggers the reloader."""


@dataclass(frozen=True)
class Kind:
    """One way to serve the app."""

    name: str
    command: tuple[str, ...]
    """It listens on a free port, which its log names."""
    ends_well_on: frozenset[Signals] = frozenset((SIGTERM, SIGINT))
    """Any other signal ends its processes at once."""
    says_that_requests_are_over: str | None = None
    """What its log says once for each request."""

    def __str__(self) -> str:
        return self.name

    @property
    def installed(self) -> bool:
        """Whether it is installed."""
        return Path(self.command[0]).exists()


def _gunicorn(worker: str, *options: str) -> Kind:
    return Kind(
        " ".join(["gunicorn", worker, *options]),
        (
            sys.executable,
            *("-m", "gunicorn", "--bind=127.0.0.1:0"),
            *(f"--workers={WORKERS}", f"--worker-class={worker}"),
            *(("--threads=4",) if worker == "gthread" else ()),
            *options,
            f"{APP}:app",
        ),
    )


def _uwsgi(*options: str) -> Kind:
    program = Path(sysconfig.get_path("scripts")) / "uwsgi"
    return Kind(
        " ".join(["uwsgi", *options]),
        (
            str(program),
            *("--http-socket=127.0.0.1:0", f"--processes={WORKERS}"),
            *("--master", "--need-app", "--die-on-term", f"--module={APP}:app"),
            *options,
        ),
        says_that_requests_are_over=" => generated ",
    )


def _flask(*options: str, ends_well_on: frozenset[Signals]) -> Kind:
    flask = (*PLAIN_FLASK, f"--app={APP}", "run", "--port=0")
    return Kind(" ".join(["flask run", *options]), (*flask, *options), ends_well_on)


SYNC = _gunicorn("sync")
GTHREAD = _gunicorn("gthread")
GEVENT = _gunicorn("gevent")
UWSGI = _uwsgi("--enable-threads")
UWSGI_WITHOUT_THREADS = _uwsgi()
WAITRESS = Kind(
    "waitress",
    (sys.executable, "-m", "waitress", "--listen=127.0.0.1:0", f"{APP}:app"),
    frozenset((SIGINT,)),
)
FLASK_RUN = _flask(ends_well_on=frozenset((SIGINT,)))
RELOADER = _flask("--debug", f"--extra-files={WATCHED}", ends_well_on=frozenset())

KINDS = tuple(
    kind
    for kind in (SYNC, GTHREAD, GEVENT, UWSGI, WAITRESS, FLASK_RUN, RELOADER)
    if kind.installed
)

FAMILIES: Mapping[str, tuple[Kind, ...]] = {
    **{
        f"gunicorn {one}": (
            _gunicorn(one),
            _gunicorn(one, "--preload"),
            _gunicorn(one, RECYCLED),
            _gunicorn(one, "--preload", RECYCLED),
        )
        for one in ("sync", "gthread", "gevent")
    },
    "uwsgi": (
        UWSGI,
        _uwsgi("--threads=2"),
        _uwsgi("--enable-threads", "--lazy-apps"),
        _uwsgi("--enable-threads", RECYCLED, "--min-worker-lifetime=1"),
    ),
    "development": (WAITRESS, FLASK_RUN, RELOADER),
}
"""Each kind with the options that change when processes begin and end."""
