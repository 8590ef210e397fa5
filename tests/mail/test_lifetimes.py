"""The life of an app's mail: `init_app` at any time, again, and the app's end."""

from __future__ import annotations

import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, current_app
from sqlalchemy import Connection

from flask_outbox import ConfigError, Mail, Message, signals
from flask_outbox.outbox import Pruned, backlog, prune
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, QUICK, Site, make_app, url_of
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import WAIT_SECONDS, eventually

LONG_ENOUGH_SECONDS = 0.2
"""For a courier to come to its end, but for what it waits for."""


def _hello() -> Message:
    return Message("Hello", [ADA], "Hello\n")


def _files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _are_collected(apps: list[weakref.ref[Flask]]) -> bool:
    """Whether nobody holds the apps, as a courier does while it sends their signals."""
    gc.collect()
    return all(app() is None for app in apps)


def _couriers() -> int:
    return len(_threads("outbox-courier"))


def _threads(name: str) -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith(name)]


# ------------------------------------------------------------------ late, and again


def test_init_app_works_after_the_first_request(tmp_path: Path, server: JournalSmtp):
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
    assert server.wait_for(1)[0].rfc_message_id == receipt.rfc_message_id
    assert client.get("/outbox/").status_code in (200, 302, 308)
    assert app._got_first_request
    site.close()


def test_a_mail_can_be_made_in_each_request(tmp_path: Path, server: JournalSmtp):
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


def test_init_app_called_again_applies_changed_settings(site: Site, tmp_path: Path):
    site.make_ready()
    ended = []

    def note(_app: Flask, **_: object) -> None:
        ended.append(True)

    with (
        JournalSmtp(tmp_path / "other") as other,
        signals.courier_stopped.connected_to(note, sender=site.app),
    ):
        site.app.config["MAIL_URL"] = url_of(other)
        site.mail.init_app(site.app)
        assert ended
        receipt = site.send()
        assert other.wait_for(1)[0].rfc_message_id == receipt.rfc_message_id
        site.runtime.close()


def test_init_app_called_again_goes_on_with_what_was_returned(
    make_site: MakeSite, server: JournalSmtp
):
    """Nobody sends again, so that no send starts a courier."""
    site = make_site(OUTBOX_CONCURRENCY=1)
    server.behaviour = Behaviour(delay_seconds=0.2)
    for _ in range(3):
        site.send()
    site.wait_for(signals.message_began)
    site.app.config["MAIL_DEFAULT_SENDER"] = "other@example.com"
    site.mail.init_app(site.app)
    server.wait_for(3)


def test_init_app_called_again_with_invalid_settings_changes_nothing(
    site: Site, server: JournalSmtp
):
    site.make_ready()
    site.app.config["OUTBOX_CONCURRENCY"] = 0
    with pytest.raises(ConfigError, match="OUTBOX_CONCURRENCY is 0"):
        site.mail.init_app(site.app)
    site.send()
    server.wait_for(1)


def test_interceptors_and_previews_of_two_mails_of_one_app_are_shared(
    make_site: MakeSite,
):
    site = make_site(TESTING=True)
    other, late, asked = Mail(), Mail(), []
    site.mail.before_send(lambda message, options: asked.append("first"))
    other.before_send(lambda message, options: asked.append("second"))
    other.preview("Second")(_hello)
    other.init_app(site.app)
    late.init_app(site.app)
    late.before_send(lambda message, options: asked.append("third"))
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
    eventually(lambda: _are_collected(apps))
    eventually(lambda: _couriers() == couriers)
    eventually(lambda: _files() <= files)


def test_one_mail_for_many_apps_leaves_no_files_open(tmp_path: Path):
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
    eventually(lambda: _files() - files < 10)
    app.extensions["outbox"].runtime.close()


def test_an_app_is_collected_in_a_transaction_of_its_outbox(tmp_path: Path):
    """Closing the outbox waits for the transaction, and whoever collects does not."""
    app = make_app(
        tmp_path / "app", TESTING=True, OUTBOX_URL=f"sqlite:///{tmp_path}/outbox.db"
    )
    with app.app_context():
        Mail(app).send(_hello())
    database = app.extensions["outbox"].runtime.outbox.database
    apps = [weakref.ref(app)]
    del app

    def collect(_connection: Connection) -> bool:
        return _are_collected(apps)

    assert database.write(collect)
    eventually(lambda: not database.opened)


def test_a_courier_that_is_stopped_while_it_prunes_leaves_nothing_open(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
):
    """Pruning went on, and opened the outbox again."""
    others = _threads("outbox-store")
    site = make_site()
    pruning, go_on = threading.Event(), threading.Event()
    prune_once = prune.prune

    def slow_prune(*given: Any) -> Pruned:
        pruning.set()
        assert go_on.wait(WAIT_SECONDS)
        return prune_once(*given)

    monkeypatch.setattr(prune, "prune", slow_prune)
    site.make_ready()
    assert pruning.wait(WAIT_SECONDS)
    closing = threading.Thread(target=site.runtime.close)
    closing.start()
    closing.join(LONG_ENOUGH_SECONDS)
    go_on.set()
    closing.join(WAIT_SECONDS)
    eventually(lambda: {*_threads("outbox-store")} <= {*others})
    assert not site.outbox.database.opened


def test_a_courier_that_is_stopped_while_it_counts_what_waits_leaves_nothing_open(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
):
    """It kept the counts after that, and opened the outbox again."""
    counting, go_on = threading.Event(), threading.Event()
    count = backlog.counted

    def slow_count(*given: Any) -> backlog.Backlog:
        counting.set()
        assert go_on.wait(WAIT_SECONDS)
        return count(*given)

    monkeypatch.setattr(backlog, "LARGE", -1)
    monkeypatch.setattr(backlog, "counted", slow_count)
    others = _threads("outbox-")
    site = make_site(OUTBOX_METRICS="local")
    site.make_ready()
    assert counting.wait(WAIT_SECONDS)
    closing = threading.Thread(target=site.runtime.close)
    closing.start()
    eventually(lambda: {*_threads("outbox-store")} <= {*others})
    closing.join(LONG_ENOUGH_SECONDS)
    go_on.set()
    closing.join(WAIT_SECONDS)
    eventually(lambda: {*_threads("outbox-blocking")} <= {*others})
    assert not site.outbox.database.opened


def test_a_mail_keeps_the_app_that_it_was_made_with(tmp_path: Path):
    mail = Mail(make_app(tmp_path / "app", TESTING=True))
    gc.collect()
    assert mail.send(_hello()).id
    mail._runtime.close()
