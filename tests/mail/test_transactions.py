"""`send(session=)`: the mail exists if and only if the app's transaction commits."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session, scoped_session

from flask_outbox import MessageNotFound, Receipt, State
from tests.mail import shop as shops
from tests.mail.conftest import MakeSite
from tests.mail.shop import KINDS, Shop
from tests.servers import JournalSmtp
from tests.waiting import WAIT_SECONDS, eventually

NEVER_SECONDS = 3_600
"""How often couriers look by themselves: what arrives, arrives since they are told."""


@pytest.fixture
def url_site(make_site: MakeSite, url: str):
    site = make_site(OUTBOX_URL=url, OUTBOX_POLL_SECONDS=NEVER_SECONDS)
    site.make_ready()
    return site


@pytest.fixture(params=KINDS)
def shop(url_site, url: str, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """A shop, its courier at rest, and each kind of till in turn."""
    with shops.opened(url_site, url, request.param) as shop:
        yield shop


@pytest.fixture
def shop_with_session(url_site, url: str) -> Iterator[Shop]:
    with shops.opened(url_site, url, "session") as shop:
        yield shop


# ------------------------------------------------------------------- if and only if


def test_a_commit_sends_the_message_at_once(shop: Shop, server: JournalSmtp):
    receipt = shop.order(1)
    assert shop.kept(receipt) == [False]
    assert shop.orders() == []

    shop.till.commit()

    assert shop.orders() == [1]
    (mail,) = server.wait_for(1)
    assert mail.rfc_message_id == receipt.rfc_message_id
    assert shop.site.settled(receipt).state is State.SENT


def test_a_message_is_invisible_before_the_commit(shop: Shop):
    receipt = shop.order(1)

    with pytest.raises(MessageNotFound):
        shop.site.mail.get(receipt.id)
    assert shop.site.outbox.list() == []
    assert not shop.site.outbox.anything_due()
    if shop.engine.dialect.name != "sqlite":  # there nobody can even try
        assert shop.site.outbox.claim("OTHER", "default", 10) == []
    shop.till.rollback()


def test_a_rollback_removes_the_message(shop: Shop, server: JournalSmtp):
    receipt = shop.order(1)

    shop.till.rollback()

    assert shop.kept(receipt) == [False]
    assert shop.rows() == 0
    kept = shop.order(2)
    shop.till.commit()
    (mail,) = server.wait_for(1)
    assert mail.rfc_message_id == kept.rfc_message_id
    assert shop.orders() == [2]


def test_closing_without_a_commit_is_a_rollback(shop: Shop):
    receipt = shop.order(1)

    shop.till.close()

    assert shop.kept(receipt) == [False]
    assert shop.rows() == 0


def test_a_mail_may_be_all_that_is_committed(shop: Shop, server: JournalSmtp):
    receipt = shop.send()
    shop.till.commit()
    assert [mail.rfc_message_id for mail in server.wait_for(1)] == [
        receipt.rfc_message_id
    ]


def test_several_messages_in_one_transaction_are_all_sent(
    shop: Shop, server: JournalSmtp
):
    receipts = [shop.order(number) for number in range(5)]
    shop.till.commit()
    assert {mail.rfc_message_id for mail in server.wait_for(5)} == {
        receipt.rfc_message_id for receipt in receipts
    }


def test_one_session_can_send_in_several_transactions(shop: Shop, server: JournalSmtp):
    for number in range(1, 4):
        shop.order(number)
        shop.till.rollback()
        receipt = shop.order(number)
        shop.till.commit()
        assert server.wait_for(number)[-1].rfc_message_id == receipt.rfc_message_id
    assert shop.orders() == [1, 2, 3]
    assert shop.site.counts().keys() <= {State.SENT, State.LEASED}


def test_send_works_inside_session_begin_and_engine_begin(
    shop_with_session: Shop, server: JournalSmtp
):
    shop = shop_with_session
    with Session(shop.engine) as session, session.begin():
        kept = shop.send(session=session)
    with suppress(ZeroDivisionError), shop.engine.begin() as connection:
        lost = shop.send(session=connection)
        raise ZeroDivisionError
    with shop.engine.begin() as connection:
        also = shop.send(session=connection)
    assert {one.rfc_message_id for one in server.wait_for(2)} == {
        kept.rfc_message_id,
        also.rfc_message_id,
    }
    assert shop.kept(kept, lost, also) == [True, False, True]


# ------------------------------------------------------------------------ savepoints


def test_a_message_of_a_released_savepoint_is_sent(shop: Shop, server: JournalSmtp):
    with shop.till.begin_nested():
        receipt = shop.order(1)
    assert shop.kept(receipt) == [False]
    assert server.mails == []

    shop.till.commit()

    assert [mail.rfc_message_id for mail in server.wait_for(1)] == [
        receipt.rfc_message_id
    ]
    assert shop.orders() == [1]


def test_a_message_of_a_rolled_back_savepoint_is_not_sent(
    shop: Shop, server: JournalSmtp
):
    before = shop.order(1)
    savepoint = shop.till.begin_nested()
    inside = shop.order(2)
    savepoint.rollback()
    after = shop.order(3)

    shop.till.commit()

    assert {mail.rfc_message_id for mail in server.wait_for(2)} == {
        before.rfc_message_id,
        after.rfc_message_id,
    }
    assert shop.kept(before, inside, after) == [True, False, True]
    assert shop.orders() == [1, 3]


def test_all_is_rolled_back_after_a_savepoint(shop: Shop):
    with shop.till.begin_nested():
        receipt = shop.order(1)
    shop.till.rollback()
    assert shop.kept(receipt) == [False]
    assert shop.rows() == 0
    assert shop.orders() == []


def test_a_rollback_of_an_outer_savepoint_removes_messages_of_the_inner(
    shop: Shop, server: JournalSmtp
):
    outer = shop.till.begin_nested()
    with shop.till.begin_nested():
        lost = shop.order(1)
    outer.rollback()
    kept = shop.order(2)
    shop.till.commit()
    assert [mail.rfc_message_id for mail in server.wait_for(1)] == [kept.rfc_message_id]
    assert shop.kept(lost, kept) == [False, True]


# ------------------------------------------------------------------------------ keys


def test_a_key_used_twice_in_one_transaction_is_one_message(
    shop: Shop, server: JournalSmtp
):
    first = shop.order(1, key="order-1")
    again = shop.order(2, key="order-1")
    assert (again.id, again.rfc_message_id) == (first.id, first.rfc_message_id)
    assert (first.duplicate, again.duplicate) == (False, True)

    shop.till.commit()

    assert shop.orders() == [1, 2]
    shop.site.settled(first)
    assert len(server.mails) == 1


def test_a_key_stored_before_is_a_duplicate_in_a_transaction(
    shop: Shop, server: JournalSmtp
):
    first = shop.site.send(key="order-1")
    again = shop.order(1, key="order-1")
    assert (again.id, again.duplicate) == (first.id, True)

    shop.till.rollback()

    assert shop.kept(first) == [True]
    shop.site.settled(first)
    assert len(server.mails) == 1


def test_a_key_is_free_again_after_a_rollback(shop: Shop, server: JournalSmtp):
    lost = shop.order(1, key="order-1")
    shop.till.rollback()
    kept = shop.order(1, key="order-1")
    assert (kept.duplicate, kept.id != lost.id) == (False, True)
    shop.till.commit()
    assert [one.rfc_message_id for one in server.wait_for(1)] == [kept.rfc_message_id]


_WAITS = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND wait_event_type = 'Lock'",
    "mysql": "SELECT count(*) FROM information_schema.innodb_trx "
    "JOIN information_schema.processlist ON id = trx_mysql_thread_id "
    "WHERE db = database() AND trx_state = 'LOCK WAIT'",
}


def _wait_for_a_lock(shop: Shop, ours: Future[Receipt]) -> None:
    """Return once some transaction waits for another, or ours for nothing at all."""
    engine = shop.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        question = text(_WAITS[connection.dialect.name])

        def look() -> bool:
            if connection.dialect.name == "mysql":  # it looks anew if left in peace
                connection.execute(text("DO SLEEP(0.2)"))
            return bool(connection.scalar(question)) or ours.done()

        eventually(look)


def _here(till: object) -> object:
    """What the till is in this thread, for use in another."""
    return till() if isinstance(till, scoped_session) else till


def _key(shop: Shop) -> str:
    """One that was never used: MariaDB locks the neighbours of one just deleted."""
    return f"raced-{id(shop)}-{os.getpid()}"


@pytest.fixture
def raced(shop: Shop) -> Iterator[Callable[[], Receipt]]:
    """Sends one key in another transaction, while the till's is at the same."""
    if shop.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time: nothing can be raced")
    with Session(shop.engine) as other:
        theirs = shop.send(session=other, key=_key(shop))

        def commit() -> Receipt:
            other.commit()
            return theirs

        yield commit


def test_a_key_that_another_transaction_takes_first_is_a_duplicate(
    shop: Shop, raced: Callable[[], Receipt], server: JournalSmtp
):
    """The app's transaction waits for the other's end, and goes on unharmed."""
    shop.order(1)
    with ThreadPoolExecutor(1) as threads:
        ours = threads.submit(
            copy_context().run, shop.send, key=_key(shop), session=_here(shop.till)
        )
        _wait_for_a_lock(shop, ours)
        theirs = raced()
        receipt = ours.result(WAIT_SECONDS)
    assert (receipt.id, receipt.duplicate) == (theirs.id, True)
    after = shop.order(2)

    shop.till.commit()

    assert shop.orders() == [1, 2]
    assert shop.kept(theirs, after) == [True, True]
    assert shop.site.mail.drain(WAIT_SECONDS)
    assert len(server.mails) == 3


def test_a_key_newer_than_the_transactions_snapshot_is_a_duplicate(shop: Shop):
    """It looks at the database as it was when it began."""
    if shop.engine.dialect.name == "sqlite":
        pytest.skip("SQLite does not let a transaction write that looks at the past")
    engine = shop.engine.execution_options(isolation_level="REPEATABLE READ")
    with Session(engine) as session:
        session.execute(text("SELECT count(*) FROM outbox_message")).all()
        first = shop.site.send(key="order-1")
        again = shop.send(session=session, key="order-1")
        assert (again.id, again.duplicate) == (first.id, True)
        receipt = shop.send(session=session)
        session.commit()
    assert shop.kept(receipt) == [True]


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_send_works_at_every_isolation_level(
    shop: Shop, level: str, server: JournalSmtp
):
    if shop.engine.dialect.name == "sqlite" and level != "SERIALIZABLE":
        pytest.skip("SQLite is always serializable")
    with Session(shop.engine.execution_options(isolation_level=level)) as session:
        receipt = shop.send(session=session)
        session.commit()
        keyed = shop.send(session=session, key="order-1")
        session.commit()
    assert {one.rfc_message_id for one in server.wait_for(2)} == {
        receipt.rfc_message_id,
        keyed.rfc_message_id,
    }
