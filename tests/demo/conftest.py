"""Fixtures: a running demo, and its app in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from flask.testing import FlaskClient

from flask_outbox.demo.app import create_app
from flask_outbox.demo.shop import mail
from flask_outbox.demo.smtp import LocalSmtp
from tests.browser import chromium
from tests.demo.running import RunningDemo

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="package")
def shared_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    """One demo for all tests that leave it unchanged."""
    log = tmp_path_factory.mktemp("demo") / "log"
    with RunningDemo(log) as demo:
        yield demo
        assert demo.end() == 0, demo.log
        assert "Traceback" not in demo.log


@pytest.fixture
def demo(shared_demo: RunningDemo) -> Iterator[RunningDemo]:
    """A demo whose SMTP server works normally at both ends of the test."""
    yield shared_demo
    shared_demo.behave("well")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    """The demo's app in this process, with its SMTP server."""
    smtp = LocalSmtp(tmp_path / "arrived")
    smtp.start()
    app = create_app(tmp_path, smtp)
    yield app.test_client()
    with app.app_context():
        mail.stop()
    smtp.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for one file of tests."""
    with chromium() as browser:
        yield browser
