"""Probes of a process that was forked: it has a courier and checks of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.waiting import WAIT_SECONDS

SCRIPT = """
import os, sys
from flask import Flask
from flask_outbox import Mail

app = Flask("shop", instance_path=sys.argv[1])
app.config.update(MAIL_URL="inbox://", OUTBOX_HEALTH_PATH="/health")
mail = Mail(app)


def checked(client):
    # a busy machine may need longer than a probe waits
    while (known := client.get("/health/ready").json["outbox"]) == "silent":
        pass
    return known


def probe(who):
    client = app.test_client()
    live, known = client.get("/health/live"), checked(client)
    print(who, live.status_code, live.json["courier"], known, flush=True)


probe("parent")
child = os.fork()
probe("parent" if child else "child")
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def test_parent_and_child_are_both_live_and_ready(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=True,
    )
    said = sorted(ended.stdout.splitlines())
    assert said == [
        "child 200 running usable",
        "parent 200 running usable",
        "parent 200 running usable",
    ], ended.stderr
