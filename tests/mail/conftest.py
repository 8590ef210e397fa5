"""Fixtures: an SMTP server, and apps that are closed after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flask_outbox import Mail
from tests.mail.site import Site, make_app_with_outbox, url_of
from tests.servers import JournalSmtp

MakeSite = Callable[..., Site]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[JournalSmtp]:
    """A server that accepts all mail by default."""
    with JournalSmtp(tmp_path / "journal") as server:
        yield server


@pytest.fixture
def make_site(
    tmp_path: Path,
    server: JournalSmtp,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[MakeSite]:
    """Makes apps whose own (or the given) `Mail` sends to ``server``.

    Keywords are settings. Nothing in the background may raise unseen: a test in which
    that is the point reads the log and clears it.
    """
    sites: list[Site] = []

    def make(mail: Mail | None = None, **config: object) -> Site:
        config = {"MAIL_URL": url_of(server), **config}
        app = make_app_with_outbox(tmp_path / f"app-{len(sites)}", **config)
        mail = mail or Mail()
        mail.init_app(app)
        sites.append(Site(app, mail))
        return sites[-1]

    yield make
    for site in sites:
        site.close()
    raised = [one for one in caplog.get_records("call") if one.exc_info]
    assert not raised, [(one.getMessage(), one.exc_text) for one in raised]


def site_with_backlog(make_site: MakeSite, mails: int, **config: object) -> Site:
    """A site whose outbox has due mail, while no courier runs; one leaves at a time."""
    sender = make_site(OUTBOX_ENGINE="external")
    for _ in range(mails):
        sender.send()
    url = str(sender.outbox.database.url)
    return make_site(OUTBOX_URL=url, OUTBOX_CONCURRENCY=1, **config)


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """An app with default settings."""
    return make_site()
