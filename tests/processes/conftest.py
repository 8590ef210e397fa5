"""Fixtures: an SMTP server that outlives the processes, and processes to talk to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from flask_outbox.app_state import default_file
from tests.outbox.databases import put_empty_outbox
from tests.processes.running import Running, Shop, settings_for
from tests.servers import Behaviour, JournalSmtp

RunScript = Callable[..., Running]
OpenShop = Callable[..., Shop]


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JournalSmtp]:
    """One server for all tests of a module."""
    journal = tmp_path_factory.mktemp("smtp") / "journal"
    with JournalSmtp(journal) as server:
        yield server


@pytest.fixture
def server(one_server: JournalSmtp) -> JournalSmtp:
    """The server, well and without mail."""
    one_server.behaviour = Behaviour()
    one_server.come_back()
    one_server.mails.clear()
    return one_server


@pytest.fixture
def open_shop(server: JournalSmtp, tmp_path: Path) -> Iterator[OpenShop]:
    """Starts the shop in one folder, again and again; keywords are settings."""
    put_empty_outbox(default_file(str(tmp_path / "shop"), "shop"))
    with ExitStack() as stack:
        yield lambda **changes: stack.enter_context(
            Shop(tmp_path / "shop", settings_for(server, **changes))
        )


@pytest.fixture
def run_script(server: JournalSmtp, tmp_path: Path) -> Iterator[RunScript]:
    """Runs a script in one folder, with what `SCRIPT` puts at hand."""
    with ExitStack() as stack:

        def run(body: str, **changes: Any) -> Running:
            script = SCRIPT.format(config=settings_for(server, **changes), body=body)
            return stack.enter_context(Running(tmp_path / "script", "-c", script))

        yield run


SCRIPT = """
import glob, os, sys, threading, time
from flask_outbox import Message
from tests.processes.shop import create_app

app, mail = create_app({config!r})
def send():
    receipt = mail.send(Message("Hello", ["ada@example.org"], "Hello\\n"))
    os.write(1, f"{{receipt.rfc_message_id}}\\n".encode())
def outbox():
    return app.extensions["outbox"].runtime.outbox
{body}
"""
