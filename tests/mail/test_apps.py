"""One app, an app factory, several apps or none: which app a `Mail` works for."""

from __future__ import annotations

import threading
from typing import ClassVar

import pytest
from flask import Flask
from flask.sansio import app as sansio

from flask_outbox import AppUnknown, ConfigError, Mail, Message, Receipt, State
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, SENDER, Site, make_app, url_of
from tests.servers import JournalSmtp
from tests.waiting import eventually


def _hello() -> Message:
    return Message("Hello", [ADA], "Hello\n")


def test_an_app_can_be_given_to_the_constructor(tmp_path, server: JournalSmtp):
    app = make_app(tmp_path / "app", MAIL_URL=url_of(server))
    site = Site(app, Mail(app))
    receipt = site.mail.send(_hello())
    (mail,) = server.wait_for(1)
    assert mail.rfc_message_id == receipt.rfc_message_id
    site.close()


def test_an_app_can_be_made_later_by_a_factory(tmp_path, server: JournalSmtp):
    mail = Mail()

    def create_app() -> Flask:
        app = make_app(tmp_path / "app", MAIL_URL=url_of(server))
        mail.init_app(app)

        @app.post("/send-email")
        def send_email():
            return {"message_id": mail.send(_hello()).rfc_message_id}, 202

        return app

    app = create_app()
    site = Site(app, mail)
    response = app.test_client().post("/send-email")
    assert response.status_code == 202
    (arrived,) = server.wait_for(1)
    assert response.json == {"message_id": arrived.rfc_message_id}
    site.close()


def test_nothing_is_opened_or_started_before_it_is_used(tmp_path, server: JournalSmtp):
    before = set(threading.enumerate())
    folder = tmp_path / "app"
    Mail(make_app(folder, MAIL_URL=url_of(server)))
    assert set(threading.enumerate()) == before
    assert not folder.exists()


def test_apps_with_a_mail_each_keep_apart(make_site: MakeSite, server: JournalSmtp):
    books = make_site(MAIL_DEFAULT_SENDER="books@example.com")
    shoes = make_site(MAIL_DEFAULT_SENDER="shoes@example.com")
    for_books, for_shoes = books.send(), shoes.send()
    sent = {mail.rfc_message_id: mail.return_path for mail in server.wait_for(2)}
    assert sent == {
        for_books.rfc_message_id: "books@example.com",
        for_shoes.rfc_message_id: "shoes@example.com",
    }
    assert books.settled(for_books).state is State.SENT
    assert books.counts() == {State.SENT: 1}
    assert {one.sender for one in books.heard} == {books.app}


def test_one_mail_for_two_apps_goes_by_the_context(
    make_site: MakeSite, server: JournalSmtp
):
    mail = Mail()
    books = make_site(mail, MAIL_DEFAULT_SENDER="books@example.com")
    shoes = make_site(mail, MAIL_DEFAULT_SENDER="shoes@example.com")

    @shoes.app.post("/send-email")
    def send_email():
        return {"id": mail.send(_hello()).id}

    with books.app.app_context():
        receipt = mail.send(_hello())
    shoes.app.test_client().post("/send-email")
    senders = {one.return_path for one in server.wait_for(2)}
    assert senders == {"books@example.com", "shoes@example.com"}
    assert books.settled(receipt).return_path == "books@example.com"
    assert sum(books.counts().values()) == sum(shoes.counts().values()) == 1


def test_one_mail_for_two_apps_asks_which_outside_of_both(make_site: MakeSite):
    mail = Mail()
    sites = [make_site(mail), make_site(mail)]
    with pytest.raises(AppUnknown, match=r"serves 2 apps: .*app\.app_context"):
        mail.send(_hello())
    assert [site.counts() for site in sites] == [{}, {}]


def test_a_mail_without_an_app_says_what_to_do():
    with pytest.raises(AppUnknown, match=r"call mail\.init_app\(app\)"):
        Mail().send(_hello())


def test_inside_an_app_without_an_outbox_the_error_says_what_to_do(site: Site):
    stranger = Flask("stranger")
    with (
        stranger.app_context(),
        pytest.raises(AppUnknown, match=r"'stranger' has no outbox: call mail\.init"),
    ):
        site.mail.send(_hello())


def test_an_app_that_is_named_twice_is_still_one_app(tmp_path, server: JournalSmtp):
    app = make_app(tmp_path / "app", MAIL_URL=url_of(server))
    mail = Mail(app)
    mail.init_app(app)
    site = Site(app, mail)
    mail.send(_hello())
    server.wait_for(1)
    site.close()


def test_a_plain_thread_needs_no_context(site: Site, server: JournalSmtp):
    receipts: list[Receipt] = []

    def work() -> None:
        receipts.append(site.mail.send(_hello()))
        site.mail.cancel(site.mail.send(_hello(), delay=60).id)
        receipts.append(site.mail.send_message("Again", [ADA], sender=SENDER))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    arrived = {mail.rfc_message_id for mail in server.wait_for(2)}
    assert arrived == {receipt.rfc_message_id for receipt in receipts}


def test_couriers_work_without_any_context(site: Site):
    """Listeners, as all background work, see no current app."""
    from flask import has_app_context

    from flask_outbox import signals

    seen = []

    def look(app, **_):
        seen.append((app, has_app_context()))

    with signals.message_sent.connected_to(look):
        site.send()
        assert eventually(lambda: seen) == [(site.app, False)]


class QuartLike(sansio.App):
    """An app of another framework on the same ground, as Quart's is."""

    default_config: ClassVar = {}  # type: ignore[misc]


def test_an_app_that_is_not_flasks_is_refused():
    with pytest.raises(ConfigError, match=r"this is a .*QuartLike\. Quart is not"):
        Mail(QuartLike("quart"))  # type: ignore[arg-type]
