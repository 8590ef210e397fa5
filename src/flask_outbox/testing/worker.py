"""The fixture ``outbox_worker``: a worker process for the app under test."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from typing import Any

from flask import Flask
from flask.cli import ScriptInfo

from .. import Mail
from ..app_state import state_of
from ..config import KEYS
from ..errors import ConfigError

WAIT_SECONDS = 30.0
"""How long a worker may take to end."""

_NOT_FOR_WORKERS = ("MAIL_ROUTE", "OUTBOX_DASHBOARD", "OUTBOX_URL")


class OutboxWorker:
    """A process that runs ``flask outbox worker`` on the outbox of ``app``.

    The fixture ``outbox_worker`` starts one at each call, and kills it at the end of
    the test. The process has the app's ``MAIL_*`` and ``OUTBOX_*`` settings and its
    templates, and nothing else of the app. Its log goes to standard error. Raises
    `ConfigError` for a setting that cannot be passed to another process.
    """

    def __init__(self, app: Flask) -> None:
        described = pickle.dumps(_described(app))
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", f"from {__name__} import main; main()"],
            stdin=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert self._process.stdin
        self._process.stdin.write(described)
        self._process.stdin.flush()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def wait_until_dead(self, timeout_seconds: float = WAIT_SECONDS) -> None:
        """Return once the process has ended. Raises `AssertionError` after the time."""
        __tracebackhide__ = True
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"The worker is still alive after {timeout_seconds:g} s."
            ) from None

    def stop(self) -> None:
        """Let it finish its attempts (SIGTERM), and return once it has ended.

        Raises `AssertionError` after 30 seconds.
        """
        self._process.terminate()
        self.wait_until_dead()

    def kill(self) -> None:
        """Kill it (SIGKILL), and return once it is gone."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Kill the process and close the pipe to it."""
        self.kill()
        assert self._process.stdin
        self._process.stdin.close()


def _described(app: Flask) -> dict[str, Any]:
    """The description of the app that the process needs."""
    names = [key.name for key in KEYS if key.name not in _NOT_FOR_WORKERS]
    settings = {name: app.config[name] for name in names if name in app.config}
    for name, value in settings.items():
        _check_portable(name, value)
    settings.setdefault("MAIL_SUPPRESS_SEND", app.testing)
    url = state_of(app).runtime.outbox.database.url
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


# -------------------------------------------------------------- in the worker's process


def make_app(settings: dict[str, Any], **described: Any) -> Flask:
    """Make an app with the settings and templates of the one under test."""
    app = Flask(**described)
    app.config.update(settings)
    Mail(app)
    return app


def end_with_the_test() -> None:
    """End this process once standard input closes: no worker outlives its test."""
    while os.read(0, 1):
        continue
    os._exit(1)


def main() -> None:
    """Deliver until told to stop; the description of the app is on standard input."""
    app = make_app(**pickle.load(sys.stdin.buffer))  # noqa: S301 - from our own parent
    threading.Thread(target=end_with_the_test, daemon=True).start()
    app.cli.main(["outbox", "worker"], obj=ScriptInfo(create_app=lambda: app))
