"""Fixtures: a receiver, and an outbox with webhooks on each database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flask_outbox.config import WebhookEndpoint
from flask_outbox.config.webhooks import as_webhooks
from flask_outbox.limits import RetryWindow
from flask_outbox.outbox import Database, Outbox, WebhookStore
from tests.cli.conftest import make_shop
from tests.dashboard.conftest import open_shop
from tests.mail.conftest import make_site, server
from tests.outbox.making import RETRY_SECONDS, Clock
from tests.servers.webhook_receiver import SECRET, WebhookReceiver

__all__ = ["make_shop", "make_site", "open_shop", "server"]

GIVE_UP_SECONDS = 3 * 86_400.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outbox(database: Database, clock: Clock) -> Outbox:
    return Outbox(database, clock, retry_window=RetryWindow(RETRY_SECONDS))


@pytest.fixture
def store(outbox: Outbox) -> WebhookStore:
    return WebhookStore(outbox)


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    """Takes all webhooks by default."""
    with WebhookReceiver() as receiver:
        yield receiver


def endpoint(url: str, name: str = "crm", **entry: object) -> WebhookEndpoint:
    """An endpoint as the settings make it, which may be on this machine."""
    entry = {"url": url, "secrets": SECRET, "allow_private": True, **entry}
    return as_webhooks("OUTBOX_WEBHOOKS", {name: entry})[name]
