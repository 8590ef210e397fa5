"""``docs/deploy``: its commands, in the environment that the pages give them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.contrib.recipes import SYSTEMD
from tests.docs.blocks import blocks, write_files
from tests.mail.site import url_of
from tests.servers import JournalSmtp
from tests.servers.ports import free_port
from tests.started_app import PATHS, START_SECONDS, words_of
from tests.waiting import eventually

BIN = "/srv/shop/.venv/bin/"
PAGE_PORT = "8000"


class Machine:
    """A folder with the shop and its environment; nothing runs in it yet."""

    def __init__(self, folder: Path, server: JournalSmtp) -> None:
        self.folder = folder
        self.server = server
        self.port = free_port()
        write_files("deploy/index", folder)
        lines = (folder / "shop.env").read_text().splitlines()
        self.settings = dict(line.split("=", 1) for line in lines)
        self.settings["FLASK_MAIL_URL"] = url_of(server)
        self.settings["FLASK_OUTBOX_URL"] = f"sqlite:///{folder / 'outbox.db'}"
        self.settings["PORT"] = str(self.port)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **PATHS, **self.settings}

    def words(self, command: str) -> list[str]:
        """The page's command, on a free port."""
        words = words_of(command.replace(BIN, "").replace(PAGE_PORT, str(self.port)))
        return [sys.executable, *words[1:]] if words[0] == "python" else words

    @contextmanager
    def running(self, command: str) -> Iterator[None]:
        """Run the command, and end it by SIGTERM, as service managers do."""
        process = subprocess.Popen(
            self.words(command), cwd=self.folder, env=self.environment
        )
        try:
            yield
            process.send_signal(signal.SIGTERM)
            assert process.wait(START_SECONDS) == 0
        finally:
            process.kill()
            process.wait()

    def send(self) -> None:
        """Have the app send a mail, once it answers."""
        eventually(self._welcomed, START_SECONDS)

    def _welcomed(self) -> bool:
        url = f"http://127.0.0.1:{self.port}/welcome"
        asked = urllib.request.Request(url, method="POST")
        try:
            with urllib.request.urlopen(asked, timeout=START_SECONDS) as answer:
                return bool(answer.status == 202)
        except OSError:
            return False


@pytest.fixture
def machine(tmp_path: Path, server: JournalSmtp) -> Machine:
    return Machine(tmp_path, server)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[JournalSmtp]:
    with JournalSmtp(tmp_path / "journal") as server:
        yield server


def exec_starts() -> list[str]:
    (web,) = blocks("deploy/systemd", "ini")
    worker = (SYSTEMD / "shop-mail.service").read_text()
    return re.findall(r"^ExecStart=(.+)$", web.code + worker, re.MULTILINE)


def test_the_units_of_systemd_serve_and_deliver(machine: Machine) -> None:
    web, worker = exec_starts()
    machine.settings["FLASK_OUTBOX_ENGINE"] = "external"
    with machine.running(web):
        machine.send()
        with machine.running(worker):
            machine.server.wait_for(1)


def test_uwsgi_delivers(machine: Machine) -> None:
    write_files("deploy/uwsgi", machine.folder)
    ini = machine.folder / "uwsgi.ini"
    ini.write_text(ini.read_text().replace(PAGE_PORT, str(machine.port)))
    (block,) = blocks("deploy/uwsgi", "console")
    with machine.running(block.commands[0]):
        machine.send()
        machine.server.wait_for(1)


def test_waitress_delivers_and_ends_on_sigterm(machine: Machine) -> None:
    write_files("deploy/waitress", machine.folder)
    serve = machine.folder / "serve.py"
    serve.write_text(serve.read_text().replace(PAGE_PORT, str(machine.port)))
    _, block = blocks("deploy/waitress", "console")
    with machine.running(block.commands[0]):
        machine.send()
        machine.server.wait_for(1)


def test_the_procfile_prepares_the_outbox_and_starts_the_same(machine: Machine) -> None:
    (procfile,) = blocks("deploy/heroku", "text")
    release, web, worker = re.findall(r"^\w+: (.+)$", procfile.code, re.MULTILINE)
    unit_web, unit_worker = (one.replace(BIN, "") for one in exec_starts())
    assert f"{worker} --processes 2" == unit_worker
    assert web.replace("0.0.0.0:$PORT", "127.0.0.1:8000") == unit_web.replace(
        "--threads 4 ", ""
    )
    flask = " ".join(machine.words("flask"))
    done = subprocess.run(
        release.replace("flask", flask),
        shell=True,
        cwd=machine.folder,
        env=machine.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (machine.folder / "outbox.db").exists()
