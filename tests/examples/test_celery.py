"""``examples/celery``: its commands, word for word, and what its containers are."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engines.conftest import (  # noqa: F401
    one_server,
    postgresql,
    rabbitmq,
    server,
)
from tests.mail.site import url_of
from tests.outbox import databases
from tests.processes.running import ROOT
from tests.servers import JournalSmtp
from tests.servers.ports import free_port
from tests.started_app import PATHS, words_of
from tests.waiting import WAIT_SECONDS, eventually

EXAMPLE = ROOT / "examples" / "celery"
START_SECONDS = WAIT_SECONDS


def commands() -> list[str]:
    """What the README has people type without Docker."""
    section = (EXAMPLE / "README.md").read_text().partition("## Without Docker")[2]
    return re.findall(r"^\$ (.*)$", section, re.MULTILINE)


@pytest.fixture
def outbox_url(postgresql: databases.Home, tmp_path: Path) -> Iterator[str]:  # noqa: F811
    """What ``createdb`` makes: a database without any table."""
    with postgresql.bare(tmp_path) as url:
        yield url


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def environment(
    server: JournalSmtp,  # noqa: F811
    outbox_url: str,
    rabbitmq: str,  # noqa: F811
    port: int,
) -> dict[str, str]:
    """The README's last paragraph: other places go into the environment."""
    return {
        **os.environ,
        **PATHS,
        "FLASK_RUN_PORT": str(port),
        "FLASK_MAIL_URL": url_of(server),
        "FLASK_OUTBOX_URL": outbox_url,
        "FLASK_CELERY__broker_url": rabbitmq,
    }


@pytest.fixture
def begin(environment: dict[str, str], tmp_path: Path) -> Iterator[Any]:
    """Starts the command of the README that begins so, in the example's folder."""
    with ExitStack() as stack:

        def start(beginning: str) -> subprocess.Popen[bytes]:
            (command,) = [one for one in commands() if one.startswith(beginning)]
            log = stack.enter_context((tmp_path / "log").open("ab"))
            process = subprocess.Popen(
                words_of(command),
                cwd=EXAMPLE,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            stack.callback(process.wait, START_SECONDS)
            stack.callback(_kill, process)
            return process

        yield start


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End it and all that it started, unless that is over."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def ask(url: str, **form: str) -> Any:
    body = urllib.parse.urlencode(form).encode() if form else None
    with urllib.request.urlopen(url, body, timeout=START_SECONDS) as response:
        return json.load(response)


def test_the_commands_of_the_readme_deliver_a_mail(
    begin: Any,
    environment: dict[str, str],
    server: JournalSmtp,  # noqa: F811
    port: int,
) -> None:
    assert begin("flask --app shop outbox init").wait(START_SECONDS) == 0
    begin("flask --app shop run")
    begin("celery -A make_celery worker")
    site = f"http://127.0.0.1:{port}"
    receipt = eventually(lambda: _sent(site), START_SECONDS)

    (mail,) = server.wait_for(1, START_SECONDS)
    assert mail.recipients == ("ada@example.org",)
    eventually(lambda: ask(f"{site}/emails/{receipt['id']}") == {"state": "sent"})

    (status,) = [one for one in commands() if one.endswith("outbox status")]
    told = subprocess.run(
        shlex.split(status),
        cwd=EXAMPLE,
        env=environment,
        check=True,
        capture_output=True,
    ).stdout.decode()
    assert re.search(r"celery +\d+ on ", told), told
    assert "No problems." in told


def _sent(site: str) -> Any:
    """The receipt, once the app serves."""
    try:
        return ask(f"{site}/send-email", to="ada@example.org")
    except OSError:
        return None


def test_the_containers_run_existing_files() -> None:
    compose = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())
    services = compose["services"]
    assert services.keys() == {
        *("init", "web", "worker", "beat", "smtp", "postgres", "rabbitmq")
    }
    assert services["init"]["command"] in commands()
    assert services["beat"]["profiles"] == ["beat"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= services.keys(), name
        if "build" in service:
            context = EXAMPLE / service["build"]["context"]
            assert (context / service["build"]["dockerfile"]).exists(), name
            assert "image" not in service
    settings = services["web"]["environment"]
    assert "@postgres/" in settings["FLASK_OUTBOX_URL"]
    assert "@rabbitmq/" in settings["FLASK_CELERY__broker_url"]
    assert compose["volumes"].keys() == {"outbox"}


def test_the_containers_run_the_readmes_worker() -> None:
    services = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())["services"]
    assert services["worker"]["command"] in commands()
