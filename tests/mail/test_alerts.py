"""Alerts of apps: signals, webhooks and mail by another transport, each once."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default as email_policy
from pathlib import Path

import pytest

from flask_outbox import Alert, AlertKind, Message, SendOptions, State, signals
from flask_outbox.alerts import AlertNews
from flask_outbox.courier.alerts import AlertWatch
from flask_outbox.outbox.alerts import TELLING_SECONDS
from tests.mail.alerts import OPS, down_soon, impatient, mailed_by
from tests.mail.conftest import MakeSite
from tests.mail.site import SENDER, Site, url_of
from tests.servers import JournalSmtp
from tests.servers.webhook_receiver import SECRET, WebhookReceiver
from tests.waiting import WAIT_SECONDS, eventually

LIMIT_SECONDS = 900.0


@pytest.fixture
def ops(tmp_path: Path) -> Iterator[JournalSmtp]:
    """The server by which mail about alerts leaves."""
    with JournalSmtp(tmp_path / "ops") as server:
        yield server


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as receiver:
        yield receiver


@pytest.fixture
def idle(make_site: MakeSite, ops: JournalSmtp) -> Site:
    """An app without a courier, whose alerts are mailed."""
    return make_site(OUTBOX_ENGINE="external", **mailed_by(url_of(ops)))


def watch_of(site: Site) -> AlertWatch:
    assert site.runtime.context.alerts is not None
    return site.runtime.context.alerts


def put_ahead(site: Site, seconds: float) -> None:
    """Let the outbox's clock be ahead by this much more."""
    clock = site.outbox.clock
    site.outbox.clock = lambda: clock() + seconds


def raise_one(site: Site) -> AlertNews:
    """Have mail wait for too long; the news of that."""
    site.send()
    put_ahead(site, LIMIT_SECONDS + 1)
    (news,) = watch_of(site).look()
    return news


def alert_mails(site: Site) -> list[tuple[str, State]]:
    """The lanes and states of the mails about alerts."""
    found = site.outbox.list()
    return [(one.lane, one.state) for one in found if one.recipients == (OPS,)]


def test_a_transport_that_is_down_is_told_in_every_way_once(
    make_site: MakeSite,
    server: JournalSmtp,
    ops: JournalSmtp,
    receiver: WebhookReceiver,
):
    """By one of two couriers, and so is its end."""
    endpoint = {
        "url": receiver.url,
        "secrets": SECRET,
        "allow_private": True,
        "events": ["alert_raised", "alert_ended"],
    }
    config = down_soon(**mailed_by(url_of(ops)), OUTBOX_WEBHOOKS={"ops": endpoint})
    server.go_down()
    with impatient():
        first = make_site(**config)
        sites = [first, make_site(OUTBOX_URL=str(first.outbox.database.url), **config)]
        for site in sites:
            site.make_ready()
            site.send()
        (mail,) = ops.wait_for(1)
        server.come_back()
        (_, over) = ops.wait_for(2)
        raised, ended = sorted(
            receiver.wait_for(2, WAIT_SECONDS), key=lambda one: one.json["timestamp"]
        )
        eventually(lambda: not first.outbox.alerts())
        for site in sites:
            site.close()

    (said,) = [one for site in sites for one in site.told(signals.alert_raised)]
    assert (said["kind"], said["lane"]) == (AlertKind.LANE_DOWN, "default")
    assert f"{server.port} refused the connection" in said["reason"]
    (end,) = [one for site in sites for one in site.told(signals.alert_ended)]
    assert end["alert_id"] == said["alert_id"]
    assert end["ended_at"] > end["began_at"] == said["began_at"]

    assert [raised.type, ended.type] == ["alert.raised", "alert.ended"]
    assert raised.json["data"]["alert_id"] == said["alert_id"]
    assert raised.json["data"]["words"] == said["words"]
    assert receiver.refused == []
    assert str(server.port) not in raised.body.decode()

    assert len(ops.mails) == 2
    assert (mail.return_path, mail.recipients) == (SENDER, (OPS,))
    read = message_from_bytes(mail.content, policy=email_policy)
    assert read["Subject"].endswith(f"] Alert: {said['words']}")
    assert read["Auto-Submitted"] == "auto-generated"
    assert said["reason"] in read.get_content()
    assert b"Over: The lane default" in over.content


KILLED = """
import ast, os, signal, sys, threading
from flask import Flask
from flask_outbox import Mail, signals
from flask_outbox.courier import maintenance

maintenance.LOOK_SECONDS = 0.01
app = Flask("killed", instance_path=sys.argv[1])
app.config.update(ast.literal_eval(sys.argv[2]))
mail = Mail(app)
signals.alert_raised.connect(
    lambda *_, **said: os.kill(os.getpid(), signal.SIGKILL), weak=False
)
with app.app_context():
    mail.start()
threading.Event().wait(60)
"""
"""An app that is killed when it tells of an alert."""


def test_a_courier_that_is_killed_before_it_has_told_loses_and_doubles_nothing(
    make_site: MakeSite, ops: JournalSmtp, tmp_path: Path
):
    """It dies when the mail is stored, and that this was told is not recorded."""
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    config = mailed_by(
        url_of(ops), OUTBOX_URL=url, OUTBOX_ALERTS={"oldest_due_seconds": 0.001}
    )
    site = make_site(OUTBOX_ENGINE="external", **config)
    site.send(transport="ops", delay=0.0)
    site.outbox.pause_lane_by_operator("ops", "so that it waits")
    settings = {**config, "MAIL_URL": "inbox://", "MAIL_DEFAULT_SENDER": SENDER}
    given = [sys.executable, "-c", KILLED, str(tmp_path), repr(settings)]
    killed = subprocess.run(given, check=False, timeout=WAIT_SECONDS)
    assert killed.returncode == -signal.SIGKILL
    assert alert_mails(site) == [("ops", State.PENDING)]

    assert watch_of(site).look() == []
    put_ahead(site, TELLING_SECONDS)
    (news,) = watch_of(site).look()
    watch_of(site).mail(news)
    watch_of(site).note_told(news)
    assert (news.kind, news.alert.kind) == ("alert_raised", AlertKind.OLDEST_DUE)
    assert alert_mails(site) == [("ops", State.PENDING)]
    put_ahead(site, TELLING_SECONDS)
    assert watch_of(site).look() == []


def test_mail_about_the_alerts_own_transport_leaves_by_another(
    make_site: MakeSite, ops: JournalSmtp
):
    site = make_site(OUTBOX_ENGINE="external", **mailed_by(url_of(ops)))
    for lane in ("default", "ops"):
        for _ in range(2):
            site.outbox.pause_lane(lane, site.outbox.clock() + 1_000, "refused")
    put_ahead(site, 301)
    news = watch_of(site).look()
    assert {one.alert.lane for one in news} == {"default", "ops"}
    for one in news:
        watch_of(site).mail(one)
        (by, _) = alert_mails(site)[0]
        assert by != one.alert.lane


def test_mail_about_an_alert_goes_before_other_mail(idle: Site):
    news = raise_one(idle)
    watch_of(idle).mail(news)
    (mail,) = [one for one in idle.outbox.list() if one.recipients == (OPS,)]
    record = idle.outbox.get(mail.id)
    assert record.priority == 1_000
    assert record.key == f"outbox-{news.id}"


def test_mail_that_cannot_be_sent_keeps_no_other_way_from_telling(
    idle: Site, caplog: pytest.LogCaptureFixture
):
    @idle.mail.before_send
    def refuse(message: Message, options: SendOptions) -> None:
        if options.transport == "ops":
            raise ValueError("no mail to ops")

    news = raise_one(idle)
    watch_of(idle).mail(news)
    watch_of(idle).note_told(news)
    assert alert_mails(idle) == []
    assert f"The mail about an alert was not sent: {news.alert.words}" in caplog.text
    caplog.clear()
    put_ahead(idle, TELLING_SECONDS)
    assert watch_of(idle).look() == []


def test_nothing_is_looked_for_unless_it_is_asked_for(make_site: MakeSite):
    site = make_site(OUTBOX_ENGINE="external")
    assert site.runtime.context.alerts is None
    site.send()
    put_ahead(site, 1e6)
    assert site.outbox.look_for_alerts() == []


def test_lanes_that_a_resolver_finds_are_not_watched(make_site: MakeSite):
    """Their servers may be those of customers."""
    site = make_site(OUTBOX_ENGINE="external", OUTBOX_ALERTS=True)
    site.mail.transport_resolver(lambda name: None)
    site.send(transport="customer-9")
    put_ahead(site, LIMIT_SECONDS + 1)
    assert watch_of(site).look() == []
    site.send()
    put_ahead(site, LIMIT_SECONDS + 1)
    (news,) = watch_of(site).look()
    assert news.alert.words.endswith("the oldest on the lane default.")


def test_an_alert_is_a_part_of_the_status(make_site: MakeSite):
    site = make_site(OUTBOX_ENGINE="external", OUTBOX_ALERTS=True)
    raise_one(site)
    with site.app.app_context():
        (one,) = site.mail.status().alerts
    assert isinstance(one, Alert)
    assert one.kind is AlertKind.OLDEST_DUE
