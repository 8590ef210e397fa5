"""The kinds of server: how each is started, and what its signals do."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

APP = "tests.process_models.app"
WORKERS = 2
REQUESTS_PER_WORKER = 7
"""After so many a worker that is recycled makes room for the next."""


@dataclass(frozen=True)
class Kind:
    """One way to serve the app."""

    name: str
    command: tuple[str, ...]
    """It listens on a port of its own choice, and its log says which."""
    ends_at_once: bool = False
    """SIGTERM is left to the system, which ends the process on the spot."""

    def __str__(self) -> str:
        return self.name


def _python(name: str, *arguments: str, **traits: bool) -> Kind:
    return Kind(name, (sys.executable, "-m", *arguments), **traits)


def _gunicorn(worker: str, *options: str) -> Kind:
    return _python(
        " ".join([f"gunicorn {worker}", *options]),
        "gunicorn",
        "--bind=127.0.0.1:0",
        f"--workers={WORKERS}",
        f"--worker-class={worker}",
        *(["--threads=4"] if worker == "gthread" else []),
        *options,
        f"{APP}:app",
    )


def _uwsgi(*options: str) -> Kind:
    scripts = Path(sysconfig.get_path("scripts"))
    return Kind(
        " ".join(["uwsgi", *options]),
        (
            str(scripts / "uwsgi"),
            "--http-socket=127.0.0.1:0",
            "--master",
            "--need-app",
            "--die-on-term",
            f"--processes={WORKERS}",
            f"--module={APP}:app",
            *options,
        ),
    )


RECYCLED = f"--max-requests={REQUESTS_PER_WORKER}"

SYNC = _gunicorn("sync")
GTHREAD = _gunicorn("gthread")
GEVENT = _gunicorn("gevent")
UWSGI = _uwsgi("--enable-threads")
UWSGI_WITHOUT_THREADS = _uwsgi()
WAITRESS = _python(
    "waitress", "waitress", "--listen=127.0.0.1:0", f"{APP}:app", ends_at_once=True
)
FLASK = _python("flask run", "flask", f"--app={APP}", "run", "--port=0", ends_at_once=True)
RELOADER = _python("flask run with reloader", "flask", f"--app={APP}", "--debug", "run", "--port=0")

FAMILIES: Mapping[str, tuple[Kind, ...]] = {
    **{
        f"gunicorn {worker}": (
            _gunicorn(worker),
            _gunicorn(worker, "--preload"),
            _gunicorn(worker, RECYCLED),
            _gunicorn(worker, "--preload", RECYCLED),
        )
        for worker in ("sync", "gthread", "gevent")
    },
    "uwsgi": (
        UWSGI,
        _uwsgi("--threads=2"),
        _uwsgi("--enable-threads", "--lazy-apps"),
        _uwsgi("--enable-threads", RECYCLED),
    ),
    "others": (WAITRESS, FLASK, RELOADER),
}
