"""Fixtures: an SMTP server, and shops that are closed when the test is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shop import Shop
from tests.mail.site import PUT_OFF_FOR_LONG
from tests.outbox.databases import put_empty_outbox
from tests.servers import JournalSmtp

MakeShop = Callable[..., Shop]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[JournalSmtp]:
    """A server that accepts all mail by default."""
    with JournalSmtp(tmp_path / "journal") as server:
        yield server


@pytest.fixture
def make_shop(tmp_path: Path, server: JournalSmtp) -> Iterator[MakeShop]:
    """Makes shops that send to ``server`` and start no courier.

    Keywords are settings.
    """
    shops: list[Shop] = []
    file = tmp_path / "outbox.db"

    def make(**config: Any) -> Shop:
        usual = {
            "MAIL_URL": f"smtp://{server.host}:{server.port}",
            "MAIL_DEFAULT_SENDER": "shop@example.com",
            "OUTBOX_URL": f"sqlite:///{file}",
            "OUTBOX_ENGINE": "external",
            **PUT_OFF_FOR_LONG,
        }
        if "OUTBOX_URL" not in config and not file.exists():
            put_empty_outbox(file)
        shops.append(Shop(**{**usual, **config}))
        return shops[-1]

    yield make
    for shop in shops:
        shop.close()


@pytest.fixture
def shop(make_shop: MakeShop) -> Shop:
    """A shop with default settings."""
    return make_shop()
