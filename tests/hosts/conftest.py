"""Fixtures: one network and PostgreSQL, and a fresh rest for each test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from flask_outbox import Mail
from flask_outbox.outbox import Database
from tests.engines.app import celery_init_app
from tests.mail.site import Site, make_app

from .home import MailHost, PostgreSql, Redis
from .network import HOME, Network
from .stage import QUICK, Stage


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """Three hosts around a switch."""
    with Network() as network:
        yield network


@pytest.fixture(scope="module")
def postgresql(network: Network) -> Iterator[PostgreSql]:
    """The database server on the host `HOME`."""
    with PostgreSql(network[HOME]) as server:
        yield server


@pytest.fixture(scope="module")
def redis(
    network: Network, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Redis]:
    """The broker on the host `HOME`."""
    with Redis(network[HOME], tmp_path_factory.mktemp("redis")) as broker:
        yield broker


@pytest.fixture
def stage(
    network: Network,
    postgresql: PostgreSql,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Stage]:
    """A shop without mail, all hosts plugged in, and no worker yet.

    Its parameter is the engine.
    """
    with ExitStack() as stack:
        hosts_url, own_url = stack.enter_context(postgresql.outbox())
        Database(own_url).upgrade()
        mail_host = MailHost(network[HOME], tmp_path / "mail")
        stack.enter_context(mail_host)
        config = {
            **QUICK,
            "MAIL_URL": mail_host.url,
            "OUTBOX_URL": hosts_url,
            "OUTBOX_ENGINE": getattr(request, "param", "external"),
        }
        own = {**config, "OUTBOX_URL": own_url}
        if config["OUTBOX_ENGINE"] == "celery":
            broker: Redis = request.getfixturevalue("redis")
            config["CELERY"] = {"broker_url": broker.hosts_url}
            own["CELERY"] = {"broker_url": broker.own_url}
        app = make_app(tmp_path / "shop", **own)
        if "CELERY" in own:
            celery_init_app(app)
        shop = Site(app, Mail(app))
        stack.callback(shop.close)
        (tmp_path / "hosts").mkdir()
        yield Stage(network, mail_host, shop, config, tmp_path / "hosts", stack)
