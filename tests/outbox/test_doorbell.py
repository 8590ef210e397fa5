"""The doorbell: couriers on PostgreSQL hear at once; elsewhere nothing happens."""

from __future__ import annotations

import select
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text

from flask_outbox.errors import OutboxUnavailable
from flask_outbox.outbox.database import Database
from flask_outbox.outbox.doorbell import LANES, MAIL, Line, has_doorbell, ring_for_mail
from flask_outbox.outbox.store import Outbox
from flask_outbox.patience import Patience

from .making import put

NO_SECONDS, WAIT_SECONDS = 0.2, 10.0


@pytest.fixture
def bell(outbox: Outbox) -> Outbox:
    """An outbox that has a doorbell."""
    if not has_doorbell(outbox.database):
        pytest.skip("only PostgreSQL has a doorbell")
    return outbox


@pytest.fixture
def line(bell: Outbox) -> Iterator[Line]:
    """Somebody who listens."""
    line = Line(bell.database)
    line.open()
    yield line
    line.close()


def heard(line: Line, seconds: float = WAIT_SECONDS) -> set[str]:
    """What it hears, if that comes in time."""
    ready, _, _ = select.select([line], [], [], seconds)
    return line.heard() if ready else set()


def test_a_ring_is_heard(bell: Outbox, line: Line) -> None:
    ring_for_mail(bell.database)
    assert heard(line) == {MAIL}
    assert heard(line, NO_SECONDS) == set()


def test_what_a_person_does_is_heard(bell: Outbox, line: Line) -> None:
    bell.hold_lane("default", "for the test")
    assert heard(line) == {LANES}
    bell.let_lane_go("default")
    assert heard(line) == {LANES}
    message_id = put(bell)
    bell.cancel(message_id)
    assert heard(line, NO_SECONDS) == set()
    bell.retry(message_id, Patience(60))
    assert heard(line) == {MAIL}


def test_handing_over_does_not_ring(bell: Outbox, line: Line) -> None:
    """A transaction that rings queues for a lock with all others that do."""
    put(bell)
    assert heard(line, NO_SECONDS) == set()


def test_a_line_that_is_lost_says_so(bell: Outbox, line: Line) -> None:
    with bell.database.engine.begin() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            )
        )
    with pytest.raises(OutboxUnavailable):
        heard_for_ever(line)


def heard_for_ever(line: Line) -> None:
    while True:
        assert heard(line) == set()


def test_a_line_that_was_closed_meanwhile_is_not_left_open(bell: Outbox) -> None:
    line = Line(bell.database)
    line.close()
    line.open()
    with bell.database.reading() as connection:
        listening = connection.scalar(
            text(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            )
        )
    assert listening == 0


def test_two_outboxes_in_one_database_do_not_ring_each_other(
    bell: Outbox, line: Line
) -> None:
    """They are in schemas of their own."""
    url = bell.database.url
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA other"))
    other = Outbox(
        Database(
            url.update_query_dict({"options": "-c search_path=other"}).render_as_string(
                hide_password=False
            )
        )
    )
    try:
        other.database.upgrade()
        ring_for_mail(other.database)
        assert heard(line, NO_SECONDS) == set()
        ring_for_mail(bell.database)
        assert heard(line) == {MAIL}
    finally:
        other.database.close()
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA other CASCADE"))
        engine.dispose()


def test_elsewhere_nothing_happens(outbox: Outbox) -> None:
    if has_doorbell(outbox.database):
        pytest.skip("PostgreSQL has a doorbell")
    ring_for_mail(outbox.database)
    outbox.hold_lane("default", "for the test")
    assert outbox.held_lanes() == {"default": "for the test"}
