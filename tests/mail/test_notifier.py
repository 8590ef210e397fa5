"""Notifying couriers in other processes of committed messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from sqlalchemy.orm import Session

from flask_outbox import Message
from flask_outbox.actions import ACTIONS
from flask_outbox.runtime import Runtime
from tests.mail.conftest import MakeSite
from tests.mail.shop import engine_on
from tests.mail.site import ADA, Site

HOUR = 3_600


class Ear:
    """A notifier that keeps what it was told, and whether the commit was over."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.over: list[Callable[[], bool]] = []
        self.stopped = False

    def committed(
        self, ids: Sequence[str], over: Callable[[], bool] = lambda: True
    ) -> None:
        self.told += ids
        self.over.append(over)

    def stop(self) -> None:
        self.stopped = True

    def after_fork_in_child(self) -> None:
        raise AssertionError("nobody forks here")


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def site(make_site: MakeSite, ear: Ear) -> Site:
    """An app that only hands over, and whose notifier is the ear."""
    site = make_site(OUTBOX_ENGINE="external")
    installed = site.app.extensions["outbox"]
    installed._runtime = Runtime(
        site.runtime.settings,
        site.app,
        installed.templates,
        idle=False,
        make_notifier=lambda _runtime: ear,
    )
    return site


def test_couriers_are_notified_of_due_messages(site: Site, ear: Ear):
    first = site.send()
    site.send(delay=HOUR)
    second = site.send()
    assert ear.told == [first.id, second.id]


def test_couriers_are_not_notified_of_a_duplicate(site: Site, ear: Ear):
    receipt = site.send(key="order-7")
    assert site.send(key="order-7").duplicate
    assert ear.told == [receipt.id]


def test_couriers_are_notified_of_a_persons_retry(site: Site, ear: Ear):
    later = site.send(delay=HOUR)
    site.mail.retry(later.id)
    assert ear.told == [later.id]


def test_couriers_are_notified_when_a_transaction_commits(site: Site, ear: Ear):
    site.outbox.status()
    message = Message("Hello", [ADA], "Hello\n")
    with (
        engine_on(site.outbox.database.url) as engine,
        Session(engine) as session,
    ):
        site.mail.send(message, session=session)
        session.rollback()
        site.mail.send(message, delay=HOUR, session=session)
        session.commit()
        receipt = site.mail.send(message, session=session)
        assert ear.told == []
        session.commit()
    assert ear.told == [receipt.id]
    assert [over() for over in ear.over] == [True]


def test_the_notifier_stops_with_the_mail(site: Site, ear: Ear):
    site.mail.stop()
    assert ear.stopped


def test_an_app_under_testing_notifies_no_courier(make_site: MakeSite, ear: Ear):
    """As under TESTING."""
    site = make_site()
    installed = site.app.extensions["outbox"]
    runtime = Runtime(
        site.runtime.settings,
        site.app,
        installed.templates,
        idle=True,
        make_notifier=lambda _runtime: ear,
    )
    receipt = site.send()
    ACTIONS["retry"].do(runtime, site.send(delay=HOUR).id)
    site.settled(receipt)
    runtime.outbox.database.close()
    assert ear.told == []
