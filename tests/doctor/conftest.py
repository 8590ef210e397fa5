"""Fixtures: a mail server, name servers, and shops that are closed afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from flask_outbox.doctor import database
from tests.cli.shop import Shop
from tests.doctor.patient import CONFIG, ZONE
from tests.outbox.databases import put_empty_outbox
from tests.servers import Authority, JournalSmtp
from tests.servers.dns import NameServer, Zone

MakeShop = Callable[..., Shop]
Serve = Callable[..., NameServer]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has no database count as slow on a machine that is busy with other tests."""
    monkeypatch.setattr(database, "SLOW_SECONDS", 60.0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JournalSmtp]:
    """A server that takes all mail."""
    with JournalSmtp(tmp_path_factory.mktemp("smtp") / "journal") as server:
        yield server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts name servers: of the good zone, with these changes to it."""
    with ExitStack() as stack:

        def start(changes: Zone | None = None, **options: Any) -> NameServer:
            zone = {**ZONE, **(changes or {})}
            zone = {name: one for name, one in zone.items() if one}
            return stack.enter_context(NameServer(zone, **options))

        yield start


@pytest.fixture
def make_shop(tmp_path: Path, server: JournalSmtp) -> Iterator[MakeShop]:
    """Makes shops that are well but for the given settings; None removes one."""
    shops: list[Shop] = []

    def make(**changes: Any) -> Shop:
        file = tmp_path / "outbox.db"
        if "OUTBOX_URL" not in changes and not file.exists():
            put_empty_outbox(file)
        config = {
            **CONFIG,
            "MAIL_URL": f"smtp://{server.host}:{server.port}",
            "OUTBOX_URL": f"sqlite:///{file}",
            **changes,
        }
        config = {name: one for name, one in config.items() if one is not None}
        shops.append(Shop(**config))
        return shops[-1]

    yield make
    for shop in shops:
        shop.close()
