"""An app without a mail server: production refuses, debug keeps its mail."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from flask import Flask

from flask_outbox import ConfigError, Mail, State
from flask_outbox.history import describe
from tests.mail.conftest import MakeSite
from tests.mail.site import QUICK, Site, make_app, url_of
from tests.servers import JournalSmtp

NOTHING_LEAVES = "No mail leaves this app"


def _said(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [
        (one.levelno, one.getMessage())
        for one in caplog.records
        if NOTHING_LEAVES in one.getMessage()
    ]


def test_a_production_app_without_a_server_refuses_to_start(tmp_path: Path):
    app = make_app(tmp_path / "app")
    with pytest.raises(ConfigError) as refused:
        Mail(app)
    for words in ("set MAIL_URL", "smtp+starttls://", "MAIL_SERVER", "inbox://"):
        assert words in str(refused.value)
    assert "outbox" not in app.extensions


def test_a_debug_app_without_a_server_keeps_its_mail_and_logs_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    app = make_app(tmp_path / "app", DEBUG=True)
    site = Site(app, Mail(app))
    receipts = [site.send(), site.send()]
    records = [site.settled(one) for one in receipts]
    site.close()
    assert {one.state for one in records} == {State.SENT}
    assert "nothing left this machine" in describe(records[0])[-1].output
    ((level, text),) = _said(caplog)
    assert level == logging.WARNING
    assert str(tmp_path / "app" / "outbox-app.db") in text
    assert "To send it, set MAIL_URL." in text


def test_a_debug_app_with_a_server_sends(
    make_site: MakeSite, server: JournalSmtp, caplog: pytest.LogCaptureFixture
):
    make_site(DEBUG=True).send()
    server.wait_for(1)
    assert _said(caplog) == []


def test_a_testing_app_keeps_its_mail_without_a_warning(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "flask_outbox")
    make_site(TESTING=True).send()
    ((level, _),) = _said(caplog)
    assert level == logging.INFO


@pytest.mark.parametrize(
    "config", [{"MAIL_URL": "inbox://"}, {"MAIL_SUPPRESS_SEND": True}]
)
def test_a_production_app_keeps_its_mail_if_configured_so(
    make_site: MakeSite, server: JournalSmtp, config
):
    site = make_site(**config)
    assert site.settled(site.send()).state is State.SENT
    assert server.connections_made == 0


def test_flask_mails_keys_lead_to_the_server(tmp_path: Path, server: JournalSmtp):
    app = make_app(tmp_path / "app", MAIL_SERVER=server.host, MAIL_PORT=server.port)
    site = Site(app, Mail(app))
    receipt = site.send()
    assert server.wait_for(1)[0].rfc_message_id == receipt.rfc_message_id
    site.close()


def test_the_outbox_is_in_the_instance_folder(make_site: MakeSite):
    site = make_site()
    site.settled(site.send())
    assert (Path(site.app.instance_path) / f"outbox-{site.app.name}.db").is_file()


def test_apps_with_one_instance_folder_have_an_outbox_each(
    tmp_path: Path, server: JournalSmtp
):
    """Each has settings of its own: mail of the one may not leave by the other's."""
    own = {"books/shop": url_of(server), "shoes.shop": "inbox://"}
    sites: list[Site] = []
    for name, url in own.items():
        app = Flask(name, instance_path=str(tmp_path))
        app.config.update(QUICK, MAIL_URL=url)
        sites.append(Site(app, Mail(app)))
    receipts = [site.send() for site in sites]
    outputs = [
        describe(site.settled(one))[-1].output
        for site, one in zip(sites, receipts, strict=True)
    ]
    for site in sites:
        site.close()
    assert [one.rfc_message_id for one in server.mails] == [receipts[0].rfc_message_id]
    assert "nothing left this machine" in outputs[1]
    files = {one.name for one in tmp_path.glob("outbox*.db")}
    assert files == {"outbox-books_shop.db", "outbox-shoes.shop.db"}


def test_a_relative_path_starts_from_the_instance_folder(make_site: MakeSite):
    """As Flask-SQLAlchemy's does, so that both name one file."""
    site = make_site(OUTBOX_URL="sqlite:///shop.db?timeout=5")
    site.send()
    assert (Path(site.app.instance_path) / "shop.db").exists()


def test_mail_url_beside_mail_server_is_refused(tmp_path: Path, server: JournalSmtp):
    app = make_app(tmp_path / "app", MAIL_URL=url_of(server), MAIL_SERVER="localhost")
    with pytest.raises(ConfigError, match="MAIL_URL and MAIL_SERVER are both set"):
        Mail(app)


def test_a_login_without_a_password_is_logged_once(
    make_site: MakeSite, server: JournalSmtp, caplog: pytest.LogCaptureFixture
):
    """As Flask-Mail, it then logs in nowhere."""
    keys = {"MAIL_SERVER": server.host, "MAIL_PORT": server.port, "MAIL_URL": None}
    site = make_site(MAIL_USERNAME="shop", MAIL_PASSWORD="", **keys)
    for _ in range(3):
        site.send()
    server.wait_for(3)
    (said,) = [text for text in caplog.messages if "does not log in" in text]
    assert f"at {server.host}:{server.port}: it has no password." in said


@pytest.mark.parametrize(
    "sender", ["Shop", "shop@", ("Shop", "example.com"), ("shop@example.com", "Shop")]
)
def test_an_invalid_default_sender_is_refused(tmp_path: Path, sender: object):
    app = make_app(
        tmp_path / "app", MAIL_URL="inbox://", TESTING=True, MAIL_DEFAULT_SENDER=sender
    )
    with pytest.raises(ConfigError, match=r"^MAIL_DEFAULT_SENDER: .* Write it as in"):
        Mail(app)
