"""Fixtures: an SMTP server, and shops with a dashboard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.dashboard.shop import Shop, make_shop
from tests.mail.site import url_of
from tests.servers import JournalSmtp

OpenShop = Callable[..., Shop]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[JournalSmtp]:
    """A server that accepts all mail by default."""
    with JournalSmtp(tmp_path / "journal") as server:
        yield server


@pytest.fixture
def open_shop(tmp_path: Path, server: JournalSmtp) -> Iterator[OpenShop]:
    """Makes shops that send to ``server``. Keywords are settings."""
    shops: list[Shop] = []

    def make(**config: object) -> Shop:
        config = {"MAIL_URL": url_of(server), **config}
        shops.append(make_shop(tmp_path / f"shop-{len(shops)}", **config))
        return shops[-1]

    yield make
    for shop in shops:
        shop.close()


@pytest.fixture
def shop(open_shop: OpenShop) -> Shop:
    """A shop with default settings, without a courier of its own."""
    return open_shop()
