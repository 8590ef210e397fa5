"""Under TESTING nothing is started, and nothing is sent."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import pytest

from flask_outbox import ConfigError, Mail, Message, State
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, Site, make_app, url_of
from tests.servers import JournalSmtp
from tests.waiting import WAIT_SECONDS


def _outbox_file(site: Site) -> Path:
    database = site.outbox.database.url.database
    assert database
    return Path(database)


@pytest.fixture
def testing_site(tmp_path: Path, server: JournalSmtp):
    """An app in testing mode that is configured to send to a real server."""
    site = Site(
        make_app(tmp_path / "app", TESTING=True, MAIL_URL=url_of(server)), Mail()
    )
    site.mail.init_app(site.app)

    @site.app.post("/send-email")
    def send_email():
        return {"id": site.mail.send_message("Hello", [ADA], "Hello\n").id}

    yield site
    site.close()


def test_no_thread_is_started(testing_site: Site):
    before = set(threading.enumerate())
    client = testing_site.app.test_client()
    for _ in range(3):
        assert client.post("/send-email").status_code == 200
    testing_site.mail.start()
    testing_site.send()
    assert set(threading.enumerate()) == before
    assert testing_site.counts() == {State.PENDING: 4}
    assert testing_site.status().couriers == ()


def test_nothing_reaches_a_server_even_when_it_is_delivered(
    testing_site: Site, server: JournalSmtp
):
    receipt = testing_site.send()
    assert testing_site.mail.drain(WAIT_SECONDS)
    testing_site.mail.send_message("Hello", [ADA])
    report = testing_site.mail.send_now(Message("Now", [ADA], "Now\n"))
    assert report.accepted
    record = testing_site.get(receipt)
    assert record.state is State.SENT
    assert "kept in the dev inbox" in str(record.recipients[0].reply)
    assert server.connections_made == 0


def test_testing_counts_when_it_is_set_after_init_app(
    tmp_path: Path, server: JournalSmtp
):
    app = make_app(tmp_path / "app", MAIL_URL=url_of(server))
    site = Site(app, Mail(app))
    app.config["TESTING"] = True
    before = set(threading.enumerate())
    site.send()
    assert set(threading.enumerate()) == before
    assert site.mail.drain(WAIT_SECONDS)
    site.send()
    assert server.connections_made == 0
    assert not (tmp_path / "app").exists()
    site.close()


def test_testing_needs_no_server(tmp_path: Path):
    site = Site(make_app(tmp_path / "app", TESTING=True), Mail())
    site.mail.init_app(site.app)
    receipt = site.send()
    assert site.mail.drain(WAIT_SECONDS)
    assert site.get(receipt).state is State.SENT
    site.close()


def test_the_outbox_is_in_a_temporary_folder(testing_site: Site, tmp_path: Path):
    testing_site.send()
    file = _outbox_file(testing_site)
    assert file.exists()
    assert file.is_relative_to(tempfile.gettempdir())
    assert not (tmp_path / "app").exists()


def test_each_app_has_a_folder_of_its_own(testing_site: Site, tmp_path: Path):
    other = Site(make_app(tmp_path / "other", TESTING=True), Mail())
    other.mail.init_app(other.app)
    testing_site.send()
    assert other.counts() == {}
    assert _outbox_file(other) != _outbox_file(testing_site)
    other.close()


def test_an_outbox_that_is_named_is_used(make_site: MakeSite, tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'named.db'}"
    site = make_site(TESTING=True, OUTBOX_URL=url)
    site.send()
    assert _outbox_file(site) == tmp_path / "named.db"


def test_mail_is_delivered_when_a_test_drains(make_site: MakeSite, server: JournalSmtp):
    """``MAIL_SUPPRESS_SEND = False`` is how an app's own tests reach a real server."""
    site = make_site(TESTING=True, MAIL_SUPPRESS_SEND=False)
    receipt = site.send()
    assert server.connections_made == 0
    assert site.mail.drain(WAIT_SECONDS)
    (mail,) = server.mails
    assert mail.rfc_message_id == receipt.rfc_message_id


def test_mistakes_are_errors_under_testing_too(tmp_path: Path):
    with pytest.raises(ConfigError, match="Did you mean OUTBOX_ENGINE"):
        Mail(make_app(tmp_path / "app", TESTING=True, OUTBOX_ENGIN="thread"))
