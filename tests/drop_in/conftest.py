"""Fixtures: an app that one of the two modules serves, and what arrives from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.drop_in.peers import PEERS
from tests.mail.site import SENDER
from tests.servers import JournalSmtp

MakeApp = Callable[..., Flask]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[JournalSmtp]:
    """A server that takes all mail until a test tells it otherwise."""
    with JournalSmtp(tmp_path / "journal") as server:
        yield server


@pytest.fixture
def make_app(tmp_path: Path, server: JournalSmtp) -> Iterator[MakeApp]:
    """Makes apps that Flask-Mail's keys lead to the server; keywords are settings."""
    apps: list[Flask] = []

    def make(**config: object) -> Flask:
        name = f"app{len(apps)}"
        app = Flask(name, instance_path=str(tmp_path / name))
        app.config.update(
            MAIL_SERVER=server.host,
            MAIL_PORT=server.port,
            MAIL_DEFAULT_SENDER=SENDER,
        )
        app.config.update(config)
        apps.append(app)
        return app

    yield make
    for app in apps:
        if "outbox" in app.extensions:
            runtime = app.extensions["outbox"].runtime
            runtime.stop()
            runtime.outbox.database.close()


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    """An app that has no extension yet."""
    return make_app()


@pytest.fixture(params=PEERS)
def peer(request: pytest.FixtureRequest) -> Any:
    """Each of the two modules in turn."""
    return PEERS[request.param]
