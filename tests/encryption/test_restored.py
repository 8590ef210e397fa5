"""An older backup that is restored under processes that run on with keys."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, create_engine, delete, insert, select

from flask_outbox import State
from flask_outbox.outbox import Outbox, Rekeying, database
from flask_outbox.outbox.key_register import CLEAR
from flask_outbox.outbox.schema import encryption_key
from flask_outbox.outbox.session import AppTransaction
from tests.outbox.making import ADA, BOB, CY, new_message, put

from .conftest import NEW, Opener


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "REGISTER_SECONDS", 0.0)


def is_suppressed(outbox: Outbox, address: str) -> bool:
    return outbox.get(put(outbox, address)).state is State.SUPPRESSED


@pytest.fixture
def running(open_anywhere: Opener) -> Outbox:
    """A process that began when everything was encrypted."""
    put(first := open_anywhere(NEW), BOB)
    Rekeying(first.database).run()
    running = open_anywhere(NEW)
    assert not is_suppressed(running, ADA)
    assert running.database.keys
    assert not running.database.keys.may_be_clear
    return running


@pytest.fixture(params=["before there were keys", "before rekeying"])
def restored(
    request: pytest.FixtureRequest, running: Outbox, open_anywhere: Opener
) -> Outbox:
    """The same process, once a backup is restored that suppresses Ada in the clear."""

    def forget_keys(connection: Connection) -> None:
        connection.execute(delete(encryption_key))

    def recall_keys(connection: Connection) -> None:
        clear = {"id": CLEAR, "proof": "", "lookup": None}
        connection.execute(insert(encryption_key), [*keys, clear])

    with running.database.reading() as connection:
        keys = [
            dict(row) for row in connection.execute(select(encryption_key)).mappings()
        ]
    running.database.write(forget_keys)
    clear = open_anywhere()
    clear.suppress(ADA, reason="asked")
    if request.param == "before rekeying":
        clear.database.write(recall_keys)
    return running


def test_whom_it_suppresses_is_not_mailed(restored: Outbox) -> None:
    assert restored.barred([ADA], None)
    assert is_suppressed(restored, ADA)


def test_nor_in_a_transaction_of_the_app(restored: Outbox, url: str) -> None:
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            joined = AppTransaction(restored.database, connection, restored.guard)
            receipt = joined.enqueue(new_message(restored.clock(), ADA))
    finally:
        engine.dispose()
    assert restored.get(receipt.id).state is State.SUPPRESSED


def test_whom_they_suppress_is_not_mailed_by_others(
    restored: Outbox, open_anywhere: Opener
) -> None:
    assert is_suppressed(open_anywhere(NEW), ADA)

    restored.suppress(CY)

    later = open_anywhere(NEW)
    assert is_suppressed(later, CY)
    assert {one.address for one in later.suppressions()} == {ADA, CY}
