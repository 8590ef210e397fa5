"""Fixtures: brokers, an outbox on PostgreSQL, a shop that only sends, and workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.mail.site import QUICK, Site, url_of
from tests.outbox.databases import FindHome, Home
from tests.servers import Behaviour, JournalSmtp
from tests.servers.brokers import RedisBroker, rabbitmq_vhost

from .app import create_app, mail
from .workers import Worker

Config = dict[str, Any]
OpenShop = Callable[..., Site]
StartWorker = Callable[..., Worker]


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JournalSmtp]:
    """One mail server for all tests of a module."""
    with JournalSmtp(tmp_path_factory.mktemp("smtp") / "journal") as server:
        yield server


@pytest.fixture
def server(one_server: JournalSmtp) -> JournalSmtp:
    """The mail server, working and without mail."""
    one_server.behaviour = Behaviour()
    one_server.come_back()
    one_server.mails.clear()
    one_server.connections_made = 0
    return one_server


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis of this module's own."""
    with RedisBroker(tmp_path_factory.mktemp("redis")) as broker:
        yield broker.url


@pytest.fixture(scope="module")
def rabbitmq(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a vhost of this module's own on RabbitMQ."""
    with rabbitmq_vhost(f"{request.path.stem}-{os.getpid()}") as url:
        yield url


@pytest.fixture(scope="session")
def postgresql(find_home: FindHome) -> Home:
    """The databases for outboxes on PostgreSQL."""
    return find_home("postgresql")


@pytest.fixture
def outbox_url(postgresql: Home, tmp_path: Path) -> Iterator[str]:
    """An outbox without messages on PostgreSQL."""
    with postgresql.empty(tmp_path) as database:
        yield database.url.render_as_string(hide_password=False)


@pytest.fixture
def config(server: JournalSmtp, outbox_url: str, redis: str) -> Config:
    """The settings of a shop whose mail Celery delivers; its broker is Redis."""
    return {
        **QUICK,
        "MAIL_URL": url_of(server),
        "OUTBOX_URL": outbox_url,
        "OUTBOX_ENGINE": "celery",
        "CELERY": {"broker_url": redis, "task_ignore_result": True},
    }


@contextmanager
def shop(config: Config) -> Iterator[Site]:
    """The shop in this process, which only sends."""
    site = Site(create_app(config), mail)
    try:
        yield site
    finally:
        site.close()


@pytest.fixture
def start_worker(config: Config, tmp_path: Path) -> Iterator[StartWorker]:
    """Starts workers; the first argument is the pool, keywords are settings."""
    with ExitStack() as stack:

        def start(pool: str = "prefork", *words: str, **changes: Any) -> Worker:
            folder = tmp_path / f"worker-{len(list(tmp_path.iterdir()))}"
            worker = Worker(folder, {**config, **changes}, pool, *words)
            return stack.enter_context(worker)

        yield start
