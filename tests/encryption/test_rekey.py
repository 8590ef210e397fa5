"""Rekeying: all is under the first key afterwards, whatever happened meanwhile."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select, text

from flask_outbox import ConfigError, State
from flask_outbox.config import EncryptionKey
from flask_outbox.erased_address import ErasedAddresses
from flask_outbox.outbox import BatchStore, Outbox, Rekeying, suppressions
from flask_outbox.outbox.schema import attachment
from flask_outbox.outbox.statements import run_together
from flask_outbox.outbox.suppressions import ASKED_AT_ONCE
from tests.outbox.databases import FindHome
from tests.outbox.making import ADA, claim_one, enlist, new_message, put, sent
from tests.waiting import eventually

from .conftest import NEW, OLD, Opener, opening
from .test_at_rest import LARGE, cells, fill

CONTENT = b"Subject: Hello\r\n\r\n" + LARGE


class Killed(BaseException):
    pass


def marked(outbox: Outbox, mark: str) -> set[str]:
    """The columns with values that begin so."""
    beginning = f"\x01{mark}"
    return {
        column
        for column, values in cells(outbox).items()
        for one in values
        if str(one).startswith(beginning)
        or (isinstance(one, bytes) and one.startswith(beginning.encode()))
    }


def test_what_was_under_an_old_key_is_under_the_first_and_read_as_before(
    open_anywhere: Opener,
) -> None:
    check_rekeying(open_anywhere, OLD)


def test_what_was_in_the_clear_is_encrypted_and_read_as_before(
    open_with: Opener, tmp_path: Path
) -> None:
    def is_in_the_clear() -> bool:
        files = tmp_path.glob("encrypted.db*")
        return any(b"Ada's" in one.read_bytes() for one in files)

    check_rekeying(open_with)

    assert is_in_the_clear()
    file = tmp_path / "encrypted.db"
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.executescript("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")
    assert not is_in_the_clear()


def check_rekeying(open_with: Opener, *before: EncryptionKey) -> None:
    outbox = open_with(*before)
    message_id = fill(outbox)
    record, content = outbox.get(message_id), outbox.content(message_id)
    suppressed = [*outbox.suppressions()]
    both = open_with(NEW, *before)
    encryption = both.status().encryption
    assert encryption is not None
    assert (encryption.clear, encryption.old_keys) == (
        not before,
        tuple(one.id for one in before),
    )

    rekeying = Rekeying(both.database)
    expected = rekeying.count()
    assert rows_left(both) == expected > 0
    result = rekeying.run()

    assert (result.rows, result.failed) == (expected, [])
    after = open_with(NEW)
    assert after.get(message_id) == record
    assert after.content(message_id) == content
    assert [*after.suppressions()] == suppressed
    assert marked(after, "old:") == set()
    assert len(marked(after, "new:")) >= 15
    stored = [str(one) for some in cells(after).values() for one in some]
    assert not any("Ada's" in one or ADA in one for one in stored)
    assert Rekeying(after.database).count() == 0
    assert rows_left(both) == (0 if before else None)
    assert rows_left(after) is None
    encryption = after.status().encryption
    assert encryption is not None
    assert (encryption.clear, encryption.old_keys) == (False, ())


def rows_left(outbox: Outbox) -> int | None:
    encryption = outbox.status(count_rows_left=True).encryption
    return encryption.rows_left if encryption else None


def test_a_run_that_was_killed_is_continued(open_with: Opener) -> None:
    old = open_with(OLD)
    new = [new_message(old.clock(), subject=f"Subject {n}") for n in range(150)]
    ids = [one.id for one in old.enqueue(new)]
    both = open_with(NEW, OLD)

    def die(rows: int) -> None:
        raise Killed

    with contextlib.suppress(Killed):
        Rekeying(both.database).run(die)
    left = Rekeying(both.database).count()
    assert 150 < left < 300
    result = Rekeying(both.database).run()

    assert result.rows == left
    after = open_with(NEW)
    assert [after.get(one).subject for one in ids] == [
        f"Subject {n}" for n in range(150)
    ]


def test_couriers_work_meanwhile(open_anywhere: Opener, clock: Any) -> None:
    """A message is claimed before it is rekeyed, and its end recorded after."""
    first = put(open_anywhere(OLD), content=CONTENT)
    both = open_anywhere(NEW, OLD)
    held = claim_one(both, enlist(both))

    Rekeying(both.database).run()
    both.record([sent(held, clock())])

    record = open_anywhere(NEW).get(first)
    assert record.state is State.SENT
    assert held.content == CONTENT


@pytest.fixture
def open_on_postgresql(
    find_home: FindHome, tmp_path: Path, clock: Any
) -> Iterator[Opener]:
    with find_home("postgresql").empty(tmp_path) as database:
        url = database.url.render_as_string(hide_password=False)
        with opening(url, clock) as opener:
            yield opener


def test_an_end_that_is_recorded_while_its_recipients_are_encrypted_is_not_lost(
    open_on_postgresql: Opener, clock: Any
) -> None:
    """PostgreSQL alone passes over rows that change while an update waits for them."""
    to_ada = put(open_on_postgresql())
    rekeying, courier = open_on_postgresql(NEW), open_on_postgresql(NEW)
    held = claim_one(courier, enlist(courier))
    recorded: list[Future[Any]] = []
    threads = ThreadPoolExecutor(1)

    @event.listens_for(rekeying.database.engine, "after_cursor_execute")
    def record_meanwhile(*statement: Any) -> None:
        if statement[2].startswith("UPDATE outbox_recipient"):
            recorded.append(threads.submit(courier.record, [sent(held, clock())]))
            eventually(lambda: waits(rekeying))

    with threads:
        Rekeying(rekeying.database).run()

    assert recorded[0].result().lost == []
    assert [one.state for one in rekeying.get(to_ada).recipients] == [State.SENT]


def test_whoever_is_suppressed_is_found_while_the_list_is_encrypted(
    open_on_postgresql: Opener,
) -> None:
    """Even where many addresses are asked for in several statements."""
    clear = open_on_postgresql()
    clear.suppress(ADA)
    outbox = open_on_postgresql(NEW)
    outbox.database.open()
    many = [f"{n}@example.org" for n in range(ASKED_AT_ONCE)] + [ADA]
    nobody = ErasedAddresses(())
    answers: list[Any] = []

    with outbox.database.reading() as connection:
        asking = suppressions.queries(connection, many, nobody)
        for one in asking:
            answers += run_together(connection, [one])
            Rekeying(outbox.database).run()
        found = suppressions.found_in(connection, answers, many, nobody)

    assert len(asking) > 1
    assert [*found] == [ADA]


def waits(outbox: Outbox) -> bool:
    """Whether a transaction waits for another one to end."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with outbox.database.reading() as connection:
        return bool(connection.scalar(text(waiting)))


def test_a_key_that_a_process_without_keys_used_once_more_stays_with_the_first(
    open_anywhere: Opener,
) -> None:
    clear = open_anywhere()
    clear.database.open()
    outbox = open_anywhere(NEW)
    first = put(outbox, key="order-1")
    batch = BatchStore(outbox).begin("news", None, "issue-1", None)
    second = put(clear, key="order-1")
    BatchStore(clear).begin("news", None, "issue-1", None)

    assert Rekeying(outbox.database).run().failed == []

    assert (outbox.get(first).key, outbox.get(second).key) == ("order-1", None)
    again = BatchStore(outbox).begin("news", None, "issue-1", None)
    assert again.id == batch.id


def test_a_key_that_is_too_long_to_be_encrypted_keeps_nothing_else_from_it(
    open_with: Opener,
) -> None:
    clear = open_with()
    message_id = put(clear, subject="Long", key="鍵" * 200)
    put(clear, subject="Short", key="short")
    outbox = open_with(NEW)

    result = Rekeying(outbox.database).run()

    (said,) = result.failed
    assert message_id in said
    assert "use at most 521 bytes" in said
    assert outbox.get(message_id).subject == "Long"
    assert Rekeying(outbox.database).count() == 1


def test_equal_attachments_are_stored_once_before_and_after(
    open_with: Opener,
) -> None:
    old = open_with(OLD)
    ids = [put(old, content=CONTENT) for _ in range(3)]
    assert attachments(old) == 1
    both = open_with(NEW, OLD)
    ids.append(put(both, content=CONTENT))
    assert attachments(both) == 2  # one under each key

    Rekeying(both.database).run()

    after = open_with(NEW)
    assert attachments(after) == 1
    assert {after.content(one) for one in ids} == {CONTENT}


def attachments(outbox: Outbox) -> int:
    with outbox.database.reading() as connection:
        return connection.scalar(select(func.count()).select_from(attachment)) or 0


def test_what_lacks_its_key_stays_as_it_is(open_with: Opener) -> None:
    message_id = put(open_with(OLD), subject="Secret")
    other = put(open_with(NEW, OLD))

    result = Rekeying(open_with(NEW).database).run()

    assert {*result.failed} == {
        f"The {what} of message {message_id} is encrypted with the key 'old', which "
        "is not in OUTBOX_ENCRYPTION_KEYS: put it back there, after the first key."
        for what in ("subject (outbox_message)", "body (outbox_content)")
    }
    both = open_with(NEW, OLD)
    assert both.get(message_id).subject == "Secret"
    encryption = both.status().encryption
    assert encryption is not None
    assert encryption.old_keys == ("old",)
    assert Rekeying(both.database).run().failed == []
    assert open_with(NEW).get(other).subject == "Hello"


def test_without_keys_there_is_nothing_to_do(open_with: Opener) -> None:
    with pytest.raises(ConfigError, match="flask outbox new-key"):
        Rekeying(open_with().database)
