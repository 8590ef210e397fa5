"""Encrypted outboxes, opened with whichever keys a test needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flask_outbox.config import EncryptionKey
from flask_outbox.limits import RetryWindow
from flask_outbox.outbox import Database, Outbox
from tests.cli.conftest import make_shop
from tests.mail.conftest import make_site, server
from tests.outbox.databases import put_empty_outbox
from tests.outbox.making import RETRY_SECONDS, Clock

__all__ = ["make_shop", "make_site", "server"]

OLD = EncryptionKey("old", b"1" * 32)
NEW = EncryptionKey("new", b"2" * 32)

Opener = Callable[..., Outbox]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_with(tmp_path: Path, clock: Clock) -> Iterator[Opener]:
    """Opens an SQLite outbox with these keys, as a process with such settings would."""
    file = tmp_path / "encrypted.db"
    put_empty_outbox(file)
    with opening(f"sqlite:///{file}", clock) as opener:
        yield opener


@pytest.fixture
def open_anywhere(url: str, clock: Clock) -> Iterator[Opener]:
    """The same on each database."""
    with opening(url, clock) as opener:
        yield opener


@contextmanager
def opening(url: str, clock: Clock) -> Iterator[Opener]:
    """Opens the outbox at ``url`` with whichever keys."""
    outboxes: list[Outbox] = []

    def open_outbox(*keys: EncryptionKey) -> Outbox:
        database = Database(url, keys=keys)
        window = RetryWindow(RETRY_SECONDS)
        outboxes.append(Outbox(database, clock, retry_window=window))
        return outboxes[-1]

    yield open_outbox
    for outbox in outboxes:
        outbox.database.close()
