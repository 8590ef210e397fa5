"""How long an app's mail lives: from whenever `init_app` comes until it is gone."""

from __future__ import annotations

import gc
import threading
import weakref
from pathlib import Path

import pytest
from flask import Flask, current_app

from flask_outbox import ConfigError, Mail, Message, events
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, QUICK, Site, make_app, url_of
from tests.servers import JournalSmtp
from tests.waiting import eventually


def _hello() -> Message:
    return Message("Hello", [ADA], "Hello\n")


def _files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _couriers() -> int:
    return sum(one.name == "outbox-courier" for one in threading.enumerate())


# ------------------------------------------------------------------ late, and again


def test_init_app_after_the_first_request(tmp_path: Path, server: JournalSmtp):
    app = make_app(tmp_path / "app", MAIL_URL=url_of(server))
    app.config.update(
        OUTBOX_DASHBOARD=lambda: True,
        OUTBOX_UNSUBSCRIBE_PATH="/unsubscribe",
        SECRET_KEY="secret",
    )
    client = app.test_client()
    assert client.get("/").status_code == 404
    site = Site(app, Mail(app))
    receipt = site.send()
    assert server.wait_for(1)[0].message_id == receipt.message_id
    assert client.get("/outbox/").status_code in (200, 302, 308)
    assert app._got_first_request
    site.close()


def test_a_mail_made_in_each_request(tmp_path: Path, server: JournalSmtp):
    """By `current_app`, as many a snippet does it: it is one outbox and one courier."""
    app = make_app(tmp_path / "app", MAIL_URL=url_of(server))
    runtimes = set()

    @app.post("/send-email")
    def send_email():
        mail = Mail(current_app)
        runtimes.add(current_app.extensions["outbox"].runtime)
        return {"id": mail.send(_hello()).id}

    client = app.test_client()
    before = _couriers()
    for _ in range(5):
        assert client.post("/send-email").status_code == 200
    server.wait_for(5)
    assert (_couriers() - before, len(runtimes)) == (1, 1)
    assert len(app.before_request_funcs[None]) == 1
    runtimes.pop().close()


def test_again_with_other_settings(site: Site, tmp_path: Path):
    site.make_ready()
    ended = []

    def note(_app: Flask, **_: object) -> None:
        ended.append(True)

    with (
        JournalSmtp(tmp_path / "other") as other,
        events.courier_stopped.connected_to(note, sender=site.app),
    ):
        site.app.config["MAIL_URL"] = url_of(other)
        site.mail.init_app(site.app)
        assert ended
        receipt = site.send()
        assert other.wait_for(1)[0].message_id == receipt.message_id
        site.runtime.close()


def test_again_with_what_cannot_be(site: Site, server: JournalSmtp):
    site.make_ready()
    site.app.config["OUTBOX_CONCURRENCY"] = 0
    with pytest.raises(ConfigError, match="OUTBOX_CONCURRENCY is 0"):
        site.mail.init_app(site.app)
    site.send()
    server.wait_for(1)


def test_what_two_mails_of_one_app_registered(make_site: MakeSite):
    site = make_site(TESTING=True)
    other, late, asked = Mail(), Mail(), []
    site.mail.before_send(lambda message, wishes: asked.append("first"))
    other.before_send(lambda message, wishes: asked.append("second"))
    other.preview("Second")(_hello)
    other.init_app(site.app)
    late.init_app(site.app)
    late.before_send(lambda message, wishes: asked.append("third"))
    late.preview("Third")(_hello)
    site.send()
    assert sorted(asked) == ["first", "second", "third"]
    installed = site.app.extensions["outbox"]
    assert [one.name for one in installed.previews] == ["Second", "Third"]
    assert installed.previews.get("Second") is not None


# ----------------------------------------------------------------------- until it ends


def test_an_app_ends_and_so_do_its_courier_and_its_connections(
    tmp_path: Path, server: JournalSmtp
):
    mail = Mail()
    couriers, files = _couriers(), _files()

    def use_an_app(name: str) -> weakref.ref[Flask]:
        app = make_app(tmp_path / name, MAIL_URL=url_of(server), **QUICK)
        mail.init_app(app)
        with app.app_context():
            mail.send(_hello())
        return weakref.ref(app)

    apps = [use_an_app(f"app-{number}") for number in range(3)]
    server.wait_for(3)
    gc.collect()
    assert [one() for one in apps] == [None] * 3
    eventually(lambda: _couriers() == couriers)
    eventually(lambda: _files() <= files)


def test_a_mail_for_many_apps(tmp_path: Path):
    """One `mail`, and a `create_app()` for each test, as in most projects."""
    mail = Mail()

    def create_app() -> Flask:
        app = make_app(tmp_path / "app", TESTING=True, OUTBOX_DURABILITY="process")
        mail.init_app(app)
        return app

    files = _files()
    for _ in range(10):
        app = create_app()
        with app.app_context():
            mail.send(_hello())
    gc.collect()
    assert mail._served() == [app]
    mail.send(_hello())
    assert _files() - files < 10
    app.extensions["outbox"].runtime.close()


def test_a_mail_keeps_the_app_that_it_was_made_with(tmp_path: Path):
    mail = Mail(make_app(tmp_path / "app", TESTING=True))
    gc.collect()
    assert mail.send(_hello()).id
    mail._runtime.close()
