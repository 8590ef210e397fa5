"""Runs apps of the documentation as they stand, and posts to each, in a process apart.

``python -m tests.migrating.posting FILE...``; the environment configures the apps. Who
sends in the background has until the end of the process, as in any script.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from tests.mail.site import ADA


def post(file: str) -> None:
    app = runpy.run_path(file, run_name=Path(file).stem)["app"]
    response = app.test_client().post("/welcome", data={"to": ADA})
    assert response.text == "Look into your mailbox."


if __name__ == "__main__":
    for file in sys.argv[1:]:
        post(file)
