"""Notifications: on PostgreSQL couriers are notified; elsewhere they poll."""

from __future__ import annotations

import select
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text

from flask_outbox.errors import OutboxUnavailable
from flask_outbox.outbox import Database, MessageActions, Outbox
from flask_outbox.outbox.notify import (
    LANES,
    MAIL,
    Notifications,
    can_notify,
    notify_of_mail,
)
from tests.waiting import WAIT_SECONDS

from .making import put

NO_SECONDS = 0.2


@pytest.fixture
def notifying(outbox: Outbox) -> Outbox:
    """An outbox whose database notifies."""
    if not can_notify(outbox.database):
        pytest.skip("only PostgreSQL notifies")
    return outbox


@pytest.fixture
def listener(notifying: Outbox) -> Iterator[Notifications]:
    """Somebody who listens."""
    listener = Notifications(notifying.database)
    listener.open()
    yield listener
    listener.close()


def heard(listener: Notifications, seconds: float = WAIT_SECONDS) -> set[str]:
    """What it hears, if that comes in time."""
    ready, _, _ = select.select([listener], [], [], seconds)
    return listener.received() if ready else set()


def test_a_notification_is_received(notifying: Outbox, listener: Notifications) -> None:
    notify_of_mail(notifying.database)
    assert heard(listener) == {MAIL}
    assert heard(listener, NO_SECONDS) == set()


def test_actions_of_a_person_are_notified(
    notifying: Outbox, listener: Notifications
) -> None:
    notifying.pause_lane_by_operator("default", "for the test")
    assert heard(listener) == {LANES}
    notifying.resume_lane_by_operator("default")
    assert heard(listener) == {LANES}
    message_id = put(notifying)
    notifying.act(MessageActions.cancel, message_id)
    assert heard(listener, NO_SECONDS) == set()
    notifying.act(MessageActions.retry, message_id)
    assert heard(listener) == {MAIL}


def test_enqueueing_sends_no_notification_by_itself(
    notifying: Outbox, listener: Notifications
) -> None:
    """A transaction that notifies queues for a lock with all others that do."""
    put(notifying)
    assert heard(listener, NO_SECONDS) == set()


def test_a_lost_listening_connection_is_reported(
    notifying: Outbox, listener: Notifications
) -> None:
    with notifying.database.engine.begin() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            )
        )
    with pytest.raises(OutboxUnavailable):
        heard_for_ever(listener)


def heard_for_ever(listener: Notifications) -> None:
    while True:
        assert heard(listener) == set()


def test_a_listener_closed_meanwhile_is_not_left_open(notifying: Outbox) -> None:
    listener = Notifications(notifying.database)
    listener.close()
    listener.open()
    with notifying.database.reading() as connection:
        listening = connection.scalar(
            text(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            )
        )
    assert listening == 0


def test_outboxes_in_one_database_do_not_notify_each_other(
    notifying: Outbox, listener: Notifications
) -> None:
    """They are in schemas of their own."""
    url = notifying.database.url
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
        notify_of_mail(other.database)
        assert heard(listener, NO_SECONDS) == set()
        notify_of_mail(notifying.database)
        assert heard(listener) == {MAIL}
    finally:
        other.database.close()
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA other CASCADE"))
        engine.dispose()


def test_other_databases_do_not_notify(outbox: Outbox) -> None:
    if can_notify(outbox.database):
        pytest.skip("PostgreSQL notifies")
    notify_of_mail(outbox.database)
    outbox.pause_lane_by_operator("default", "for the test")
    assert outbox.lanes_paused_by_operator() == {"default": "for the test"}
