"""The process of an `OutboxWorker`: ``python -m flask_outbox.testing.working``.

It is told on its standard input what to be, and ends with that, so that no worker
outlives its test.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
from typing import Any

from flask import Flask
from flask.cli import ScriptInfo

from flask_outbox import Mail


def make_app(settings: dict[str, Any], **described: Any) -> Flask:
    """The app under test, as far as a worker needs it."""
    app = Flask(**described)
    app.config.update(settings)
    Mail(app)
    return app


def end_with_the_test() -> None:
    """Be gone once the test's process is."""
    while os.read(0, 1):
        continue
    os._exit(1)


def main() -> None:
    """Deliver until told to stop."""
    app = make_app(**pickle.load(sys.stdin.buffer))  # noqa: S301 - from our own parent
    threading.Thread(target=end_with_the_test, daemon=True).start()
    app.cli.main(["outbox", "worker"], obj=ScriptInfo(create_app=lambda: app))


if __name__ == "__main__":
    main()
