"""Fixtures: an SMTP server, and shops that are closed when the test is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shop import Shop
from tests.servers import JournalSmtp

PUT_OFF_FOR_LONG = {
    "OUTBOX_BACKOFF_BASE_SECONDS": 1e7,
    "OUTBOX_BACKOFF_CAP_SECONDS": 1e7,
}
"""What is put off does not come due while a test runs, however the jitter falls."""

MakeShop = Callable[..., Shop]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[JournalSmtp]:
    """A server that takes all mail until a test tells it otherwise."""
    with JournalSmtp(tmp_path / "journal") as server:
        yield server


@pytest.fixture
def make_shop(tmp_path: Path, server: JournalSmtp) -> Iterator[MakeShop]:
    """Makes shops that send to ``server`` and start no courier of their own.

    Keywords are settings.
    """
    shops: list[Shop] = []

    def make(**config: Any) -> Shop:
        usual = {
            "MAIL_URL": f"smtp://{server.host}:{server.port}",
            "MAIL_DEFAULT_SENDER": "shop@example.com",
            "OUTBOX_URL": f"sqlite:///{tmp_path / 'outbox.db'}",
            "OUTBOX_ENGINE": "external",
            **PUT_OFF_FOR_LONG,
        }
        shops.append(Shop(**{**usual, **config}))
        return shops[-1]

    yield make
    for shop in shops:
        shop.close()


@pytest.fixture
def shop(make_shop: MakeShop) -> Shop:
    """A shop like any other."""
    return make_shop()
