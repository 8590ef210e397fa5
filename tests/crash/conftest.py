"""Fixtures: an outbox on each database, mail servers, and processes to be killed."""

from __future__ import annotations

import faulthandler
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from flask_outbox.outbox import Database, Outbox
from tests.crash.child import Child
from tests.crash.jobs import Config, send
from tests.crash.mail_server import MailServer
from tests.outbox.databases import Home
from tests.servers import JournalSmtp

HERE = Path(__file__).parent

Start = Callable[..., Child]
SendMails = Callable[..., None]


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave the long runs out, unless ``-m long`` asks for them."""
    if "long" in config.option.markexpr:
        return
    long = [
        one
        for one in items
        if HERE in one.path.parents and one.get_closest_marker("long")
    ]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [one for one in items if one not in long]


@pytest.fixture(autouse=True)
def _unhurried(request: pytest.FixtureRequest) -> None:
    """Long runs have no time limit."""
    if request.node.get_closest_marker("long"):
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def url(home: Home, tmp_path: Path) -> Iterator[str]:
    """The URL of an outbox of the test's own, on each database system in turn."""
    with home.new(tmp_path) as url:
        yield url


@pytest.fixture
def outbox(url: str) -> Iterator[Outbox]:
    """The same outbox, opened in this process."""
    outbox = Outbox(Database(url))
    yield outbox
    outbox.database.close()


@pytest.fixture
def mail_server(tmp_path: Path) -> Iterator[MailServer]:
    """A server that outlives the test's other processes."""
    with MailServer(tmp_path / "arrived") as server:
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[JournalSmtp]:
    """A server whose behaviour the test sets."""
    with JournalSmtp(tmp_path / "arrived") as server:
        yield server


@pytest.fixture
def config(url: str, server: JournalSmtp) -> Config:
    """The settings of an app on this outbox, whose mail goes to `server`."""
    return {"OUTBOX_URL": url, "MAIL_URL": f"smtp://{server.host}:{server.port}"}


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts child processes, which end with the test."""
    with ExitStack() as stack:

        def start(*job: Any) -> Child:
            return stack.enter_context(Child(*job))

        yield start


@pytest.fixture
def send_mails(config: Config, start: Start, tmp_path: Path) -> SendMails:
    """Sends a mail for each subject, from a process without a courier."""

    def send_mails(*subjects: str) -> None:
        external = {**config, "OUTBOX_ENGINE": "external"}
        sender = start(send, external, tmp_path / "accepted")
        sender.say(subjects)
        sender.ask(None)

    return send_mails
