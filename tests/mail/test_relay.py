"""What couriers in other processes are told of, once it is committed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from flask_outbox import Message
from flask_outbox.runtime import Runtime
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, Site

HOUR = 3_600


class Ear:
    """A relay that keeps what it was told, and whether the commit was over."""

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
    """An app that only hands over, and whose relay is the ear."""
    site = make_site(OUTBOX_ENGINE="external")
    installed = site.app.extensions["outbox"]
    installed._runtime = Runtime(
        site.runtime.settings,
        site.app,
        installed.templates,
        idle=False,
        make_relay=lambda _runtime: ear,
    )
    return site


def test_what_is_due_is_told_of(site: Site, ear: Ear):
    first = site.send()
    site.send(delay=HOUR)
    second = site.send()
    assert ear.told == [first.id, second.id]


def test_a_duplicate_is_not(site: Site, ear: Ear):
    receipt = site.send(key="order-7")
    assert site.send(key="order-7").duplicate
    assert ear.told == [receipt.id]


def test_what_a_person_retries_is_told_of(site: Site, ear: Ear):
    later = site.send(delay=HOUR)
    site.mail.retry(later.id)
    assert ear.told == [later.id]


def test_a_transaction_is_told_of_when_it_commits(site: Site, ear: Ear):
    site.outbox.status()
    engine = create_engine(site.outbox.database.url)
    message = Message("Hello", [ADA], "Hello\n")
    with Session(engine) as session:
        site.mail.send(message, session=session)
        session.rollback()
        site.mail.send(message, delay=HOUR, session=session)
        session.commit()
        receipt = site.mail.send(message, session=session)
        assert ear.told == []
        session.commit()
    engine.dispose()
    assert ear.told == [receipt.id]
    assert [over() for over in ear.over] == [True]


def test_the_relay_stops_with_the_mail(site: Site, ear: Ear):
    site.mail.stop()
    assert ear.stopped


def test_an_idle_app_tells_nobody(make_site: MakeSite, ear: Ear):
    """As under TESTING."""
    site = make_site()
    installed = site.app.extensions["outbox"]
    runtime = Runtime(
        site.runtime.settings,
        site.app,
        installed.templates,
        idle=True,
        make_relay=lambda _runtime: ear,
    )
    receipt = site.send()
    runtime.retry(site.send(delay=HOUR).id)
    site.settled(receipt)
    runtime.outbox.database.close()
    assert ear.told == []
