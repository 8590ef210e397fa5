"""OUTBOX_TAG_CONCURRENCY: how many messages of a tag are delivered at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flask_outbox import State
from tests.mail.conftest import MakeSite
from tests.outbox.databases import FindHome
from tests.servers import Behaviour, JournalSmtp

NEVER = 3_600
"""Seconds between two looks of a courier: if it looks at all, something woke it."""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(
    request: pytest.FixtureRequest, find_home: FindHome, tmp_path: Path
) -> Iterator[str]:
    """Where the outbox is kept."""
    with find_home(request.param).empty(tmp_path) as database:
        yield database.url.render_as_string(hide_password=False)


def test_a_newsletter_leaves_places_for_other_mail(
    make_site: MakeSite, server: JournalSmtp, url: str
):
    """Though much of it was there first, and none of it gets through."""
    site = make_site(
        OUTBOX_URL=url,
        OUTBOX_CONCURRENCY=5,
        OUTBOX_TAG_CONCURRENCY={"newsletter": 2},
        OUTBOX_POLL_SECONDS=NEVER,
    )
    site.make_ready()
    server.behaviour = Behaviour(hang=True)
    news = [site.send(tag="newsletter") for _ in range(20)]
    server.wait_until(lambda: server.held == 2)
    reset = site.send(tag="password-reset")
    server.wait_until(lambda: server.held == 3)
    assert site.get(reset).state is State.LEASED
    assert site.counts() == {State.LEASED: 3, State.PENDING: 18}
    server.behaviour = Behaviour()
    assert {site.settled(one).state for one in [reset, *news]} == {State.SENT}
    assert server.most_connections == 3
