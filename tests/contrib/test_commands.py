"""The commands of the recipes, run as they stand there."""

from __future__ import annotations

import re
import shutil
import signal
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.processes.conftest import one_server, server
from tests.processes.running import Running
from tests.servers import JournalSmtp
from tests.waiting import WAIT_SECONDS, eventually

from .recipes import (
    DOCKER,
    compose,
    dockerfile,
    dockerfile_command,
    environment,
    pods,
    unit,
)

__all__ = ["one_server", "server"]

Start = Callable[[str, Sequence[str]], Running]


@pytest.fixture
def start(server: JournalSmtp, tmp_path: Path) -> Iterator[Start]:
    """Starts a command beside the app, with the settings of ``shop.env`` and a folder
    of its own for what it says.
    """
    settings = {
        **environment(),
        "FLASK_MAIL_URL": f"smtp://{server.host}:{server.port}",
        "FLASK_MAIL_LOCAL_HOSTNAME": "localhost",
        "FLASK_OUTBOX_URL": f"sqlite:///{tmp_path / 'outbox.db'}",
    }
    under = ["env", *(f"{key}={value}" for key, value in settings.items())]
    with ExitStack() as stack:

        def starting(name: str, command: Sequence[str]) -> Running:
            shutil.copytree(DOCKER, tmp_path / name)
            program, *arguments = command
            return stack.enter_context(
                Running(tmp_path / name, "-m", program, *arguments, under=under)
            )

        yield starting


def answer(address: str, body: bytes | None = None) -> int:
    with urllib.request.urlopen(address, body, timeout=WAIT_SECONDS) as response:
        status: int = response.status
        return status


def test_a_mail_goes_through_the_containers_which_end_when_told(
    start: Start, server: JournalSmtp
) -> None:
    stop = signal.Signals[dockerfile("STOPSIGNAL")]
    worker_command = compose()["services"]["worker"]["command"]
    health = dockerfile_command("HEALTHCHECK")
    probes = pods()["web"]["containers"][0]

    start("tables", compose()["services"]["tables"]["command"]).end()
    web = start("web", [*dockerfile_command("CMD"), "--bind", "127.0.0.1:0"])
    worker = start("worker", worker_command)
    (address,) = eventually(lambda: re.findall(r"Listening at: (\S+)", web.stderr))
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert answer(address + probes[probe]["httpGet"]["path"]) == 200
    assert answer(f"{address}/send-email", b"") == 202
    (mail,) = server.wait_for(1)
    assert mail.recipients == ("ada@example.org",)

    assert "is alive" in start("live", [*health, "--live"]).end()
    assert start("ready", health).end() == "Ready.\n"
    for process in (web, worker):
        process.signal(stop)
    assert "1 sent" in worker.end()
    web.end()


def test_systemd_starts_the_same() -> None:
    """With the address of a proxy's neighbour, and two workers."""
    (web,) = unit("shop.service")["ExecStart"]
    (worker,) = unit("shop-mail.service")["ExecStart"]
    bare = re.compile(r"^/srv/shop/\.venv/bin/|--config gunicorn\.conf\.py |"
                      r"--bind \S+ | --processes 2$")  # fmt: skip
    assert bare.sub("", web).split(" ") == dockerfile_command("CMD")
    assert bare.sub("", worker).split() == compose()["services"]["worker"]["command"]
