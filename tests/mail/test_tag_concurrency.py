"""OUTBOX_TAG_CONCURRENCY: how many messages of a tag are delivered at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flask_outbox import Receipt, State, signals
from flask_outbox.courier import local_queue
from flask_outbox.outbox import Outbox
from tests.mail.conftest import MakeSite
from tests.mail.site import Site
from tests.outbox.databases import FindHome
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import WAIT_SECONDS, eventually

NEVER = 3_600
"""Seconds between two looks of a courier: if it looks at all, something woke it."""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(
    request: pytest.FixtureRequest, find_home: FindHome, tmp_path: Path
) -> Iterator[str]:
    """Where the outbox is kept."""
    with find_home(request.param).empty(tmp_path) as database:
        yield database.url.render_as_string(hide_password=False)


class Hold:
    """Holds up a method of the outbox until it may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.begun, self.may_go_on = threading.Event(), threading.Event()
        method = getattr(Outbox, name)

        def call_later(*args: Any) -> Any:
            self.begun.set()
            assert self.may_go_on.wait(WAIT_SECONDS)
            return method(*args)

        monkeypatch.setattr(Outbox, name, call_later)


def newsletter_of(
    mails: int, make_site: MakeSite, server: JournalSmtp, url: str
) -> tuple[Site, list[Receipt]]:
    """A site whose newsletter has both its places, with a server that hangs."""
    site = make_site(
        OUTBOX_URL=url,
        OUTBOX_CONCURRENCY=5,
        OUTBOX_TAG_CONCURRENCY={"newsletter": 2},
        OUTBOX_POLL_SECONDS=NEVER,
    )
    site.make_ready()
    server.behaviour = Behaviour(hang=True)
    news = [site.send(tag="newsletter") for _ in range(mails)]
    server.wait_until(lambda: server.held == 2)
    return site, news


def test_a_newsletter_leaves_places_for_other_mail(
    make_site: MakeSite, server: JournalSmtp, url: str
):
    """Though much of it was there first, and none of it gets through."""
    site, news = newsletter_of(20, make_site, server, url)
    reset = site.send(tag="password-reset")
    server.wait_until(lambda: server.held == 3)
    assert site.get(reset).state is State.LEASED
    assert site.counts() == {State.LEASED: 3, State.PENDING: 18}
    server.behaviour = Behaviour()
    assert {site.settled(one).state for one in [reset, *news]} == {State.SENT}
    assert server.most_connections == 3


def test_mail_leaves_for_which_a_place_becomes_free_during_a_claim(
    make_site: MakeSite,
    server: JournalSmtp,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
):
    """The claim has begun while ends were still to be written, and has reserved all
    places, but none for its tag.
    """
    monkeypatch.setattr(local_queue, "AHEAD_SECONDS", NEVER)
    site, news = newsletter_of(5, make_site, server, url)
    recording, claiming = Hold(monkeypatch, "record"), Hold(monkeypatch, "claim")
    server.behaviour = Behaviour()
    eventually(lambda: site.courier._recorder.unwritten("default") == 2)
    site.runtime.look([])
    assert claiming.begun.wait(WAIT_SECONDS)
    recording.may_go_on.set()
    site.wait_for(signals.message_sent, 2)
    claiming.may_go_on.set()
    assert {site.settled(one).state for one in news} == {State.SENT}
