"""A worker for the app under test: a process of its own, which may be killed."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from typing import Any

from flask import Flask

from ..config import KEYS
from ..errors import ConfigError

WAIT_SECONDS = 30.0
"""How long a worker may take to end."""

_NOT_FOR_WORKERS = ("MAIL_ROUTE", "OUTBOX_DASHBOARD", "OUTBOX_URL")


class OutboxWorker:
    """``flask outbox worker`` on the outbox of ``app``; the fixture ``outbox_worker``
    starts one at each call, and kills it when the test is over.

    The process has the app's ``MAIL_*`` and ``OUTBOX_*`` settings and its templates,
    and nothing else of it. What it logs goes to standard error. Raises `ConfigError`
    for a setting that cannot be given to another process.
    """

    def __init__(self, app: Flask) -> None:
        described = pickle.dumps(_described(app))
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", f"{__package__}.working"],
            stdin=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert self._process.stdin
        self._process.stdin.write(described)
        self._process.stdin.flush()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def wait_until_dead(self, timeout: float = WAIT_SECONDS) -> None:
        """Return once it has ended. Raises `AssertionError` after so many seconds."""
        __tracebackhide__ = True
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"The worker is still alive after {timeout:g} s."
            ) from None

    def stop(self) -> None:
        """Have it finish what it has begun (SIGTERM), and return once it has ended."""
        self._process.terminate()
        self.wait_until_dead()

    def kill(self) -> None:
        """Kill it (SIGKILL), and return once it is gone."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Kill it, and keep nothing of it."""
        self.kill()
        assert self._process.stdin
        self._process.stdin.close()


def _described(app: Flask) -> dict[str, Any]:
    """What the process needs of the app."""
    names = [key.name for key in KEYS if key.name not in _NOT_FOR_WORKERS]
    settings = {name: app.config[name] for name in names if name in app.config}
    for name, value in settings.items():
        _check_portable(name, value)
    settings.setdefault("MAIL_SUPPRESS_SEND", app.testing)
    url = app.extensions["outbox"].runtime.outbox.database.url
    settings["OUTBOX_URL"] = url.render_as_string(hide_password=False)
    return {
        "import_name": app.import_name,
        "root_path": app.root_path,
        "instance_path": app.instance_path,
        "template_folder": app.template_folder,
        "settings": settings,
    }


def _check_portable(name: str, value: object) -> None:
    try:
        pickle.dumps(value)
    except (AttributeError, TypeError, pickle.PicklingError) as error:
        raise ConfigError(
            f"{name} cannot be given to a worker's process: {error}. Use a function of "
            "a module, or another value in this test."
        ) from error
