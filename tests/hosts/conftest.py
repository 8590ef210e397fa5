"""Fixtures: the network and its PostgreSQL once, the rest anew for each test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from flask_outbox import Mail
from flask_outbox.outbox.database import Database
from tests.mail.site import Site, make_app

from .home import MailHost, PostgreSql
from .network import HOME, Network
from .stage import QUICK, Stage


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """Three hosts around a switch."""
    with Network() as network:
        yield network


@pytest.fixture(scope="module")
def postgresql(network: Network) -> Iterator[PostgreSql]:
    """The database server at home."""
    with PostgreSql(network[HOME]) as server:
        yield server


@pytest.fixture
def stage(network: Network, postgresql: PostgreSql, tmp_path: Path) -> Iterator[Stage]:
    """A shop without mail, all hosts plugged in, and no worker yet."""
    with ExitStack() as stack:
        hosts_url, own_url = stack.enter_context(postgresql.outbox())
        Database(own_url).upgrade()
        mail_host = MailHost(network[HOME], tmp_path / "mail")
        stack.enter_context(mail_host)
        config = {
            **QUICK,
            "MAIL_URL": mail_host.url,
            "OUTBOX_URL": hosts_url,
            "OUTBOX_ENGINE": "external",
        }
        app = make_app(tmp_path / "shop", **{**config, "OUTBOX_URL": own_url})
        mail = Mail(app)
        shop = Site(app, mail)
        stack.callback(shop.close)
        (tmp_path / "hosts").mkdir()
        yield Stage(network, mail_host, shop, config, tmp_path / "hosts", stack)
