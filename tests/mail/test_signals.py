"""Every signal, in a scenario that sends it, with the payload that its docs promise."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from blinker import NamedSignal
from jinja2 import DictLoader

from flask_outbox import (
    Fate,
    Feedback,
    Message,
    MessageStopped,
    Reply,
    SendOptions,
    State,
    StoreError,
    email_dispatched,
    signals,
)
from flask_outbox.courier.notifier import BatchingNotifier
from tests.mail.alerts import down_soon, impatient
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, BOB, PUT_OFF_FOR_LONG, SIGNALS, Heard, Site
from tests.servers import Behaviour, JournalSmtp

HOUR = 3_600
Payload = dict[str, Any]

ENDS = (
    signals.message_sent,
    signals.message_deferred,
    signals.message_failed,
    signals.message_unknown,
    signals.message_returned,
)
"""The signals that end an attempt. What all of them carry is said in one place."""


def _one(site: Site, signal: NamedSignal) -> Payload:
    (payload,) = site.wait_for(signal)
    return payload


def _dispatched(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = make_site()
    message = Message("Hello", [ADA], "Hello\n")
    site.mail.send(message)
    assert _one(site, signals.email_dispatched) == {"message": message}
    return site


def _enqueued(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = make_site()
    receipt = site.send()
    payload = _one(site, signals.message_enqueued)
    assert (payload["message_id"], payload["duplicate"]) == (receipt.id, False)
    assert 0 < payload["seconds"] < 60
    return site


def _sent_now(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = make_site()
    report = site.mail.send_now(Message("Hello", [ADA], "Hello\n"))
    payload = _one(site, signals.message_sent_now)
    assert payload["report"] is report
    (mail,) = server.mails
    assert payload["content"] == mail.content
    return site


def _began(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = make_site()
    receipt = site.send()
    payload = _one(site, signals.message_began)
    assert payload["message_id"] == receipt.id
    assert (payload["attempt"], payload["lane"]) == (1, "default")
    assert payload["courier"] == _one(site, signals.courier_started)["courier"]
    return site


def _rendered(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = make_site()
    site.app.jinja_loader = DictLoader({"mail/bill.txt": "{{ sum }}"})
    with site.app.app_context():
        bill = Message.from_template("bill", [ADA], "Bill", render="later", sum=7)
        receipt = site.mail.send(bill)
    payload = _one(site, signals.message_rendered)
    assert (payload["message_id"], payload["attempt"]) == (receipt.id, 1)
    assert payload["template"] == "bill"
    return site


def _sent(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = make_site()
    receipt = site.send(ADA, BOB)
    payload = _one(site, signals.message_sent)
    assert (payload["message_id"], payload["attempt"]) == (receipt.id, 1)
    assert payload["replies"] == dict.fromkeys([ADA, BOB], "250 2.0.0 journaled as 1")
    assert site.get(receipt).state is State.SENT
    return site


def _deferred(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = make_site(**PUT_OFF_FOR_LONG)
    server.behaviour = Behaviour(at_data="451 4.3.0 later")
    receipt = site.send()
    payload = _one(site, signals.message_deferred)
    assert (payload["message_id"], payload["attempt"]) == (receipt.id, 1)
    assert payload["replies"] == {ADA: "451 4.3.0 later"}
    assert payload["due_at"] == pytest.approx(site.get(receipt).due_at.timestamp())
    return site


def _failed(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = make_site()
    server.behaviour = Behaviour(at_data="550 5.7.1 no")
    receipt = site.send()
    payload = _one(site, signals.message_failed)
    assert payload["message_id"] == receipt.id
    assert payload["replies"] == {ADA: "550 5.7.1 no"}
    return site


def _unknown(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = make_site(OUTBOX_ON_UNKNOWN="hold")
    server.behaviour = Behaviour(drop="unjournaled")
    receipt = site.send()
    payload = _one(site, signals.message_unknown)
    assert payload["message_id"] == receipt.id
    assert "after the final dot" in payload["replies"][ADA]
    return site


def _returned(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = make_site()
    server.go_down()
    receipt = site.send()
    payload = site.wait_for(signals.message_returned)[0]
    assert payload["message_id"] == receipt.id
    assert f"{server.host}:{server.port}" in payload["reason"]
    return site


def _suppressed(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = make_site()
    site.mail.suppress(BOB)
    receipt = site.send(ADA, BOB)
    payload = _one(site, signals.message_suppressed)
    assert payload["message_id"] == receipt.id
    assert (payload["replies"], payload["finished"]) == (receipt.suppressed, False)
    return site


def _changed(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = make_site()

    @site.mail.before_send
    def mark(message: Message, options: SendOptions) -> None:
        message.subject = f"[{options.tag}] {message.subject}"

    receipt = site.send(tag="news")
    payload = _one(site, signals.message_changed)
    assert payload["message_id"] == receipt.id
    assert payload["by"] == f"{__name__}._changed.<locals>.mark"
    assert payload["fields"] == ("subject",)
    return site


def _stopped(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = make_site()

    @site.mail.before_send
    def rest(message: Message, options: SendOptions) -> None:
        raise MessageStopped("nothing on Sundays")

    receipt = site.send()
    payload = _one(site, signals.message_stopped)
    assert payload["message_id"] == receipt.id
    assert payload["by"] == f"{__name__}._stopped.<locals>.rest"
    assert payload["reason"] == "nothing on Sundays"
    return site


def _resent(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = make_site(OUTBOX_LEASE_SECONDS=1)
    server.behaviour = Behaviour(drop="unjournaled")
    receipt = site.send()
    site.wait_for(signals.message_unknown)
    server.behaviour = Behaviour()
    payload = site.wait_for(signals.message_resent)[0]
    (courier,) = site.told(signals.courier_started)
    assert payload["message_id"] == receipt.id
    assert payload["courier"] == courier["courier"]
    return site


def _sent_again(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = make_site()
    receipt = site.send()
    site.settled(receipt)
    again = site.mail.send_again(receipt.id)
    payload = _one(site, signals.message_sent_again)
    assert payload == {"message_id": receipt.id, "again_as": again.id}
    return site


def _pruned(make_site: MakeSite, server: JournalSmtp) -> Site:
    """By the courier that begins after the message is done with, if not before."""
    site = make_site(OUTBOX_KEEP_BODIES=0.001, OUTBOX_KEEP_ROWS=HOUR)
    site.settled(site.send())
    site.mail.stop()
    site.mail.start()
    payload = _one(site, signals.outbox_pruned)
    couriers = [one["courier"] for one in site.told(signals.courier_started)]
    assert (payload["bodies"], payload["rows"]) == (1, 0)
    assert payload["courier"] in couriers
    return site


def _fate_changed(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = make_site()
    receipt = site.send()
    site.wait_for(signals.message_sent)
    reply = Reply(250, "2.0.0", "taken")
    one = Feedback(
        Fate.DELIVERED, "ses", "1", datetime.now(UTC), ADA, receipt.id, reply=reply
    )
    site.runtime.take_feedback([one])
    payload = _one(site, signals.fate_changed)
    assert payload == {
        "message_id": receipt.id,
        "address": ADA,
        "fate": Fate.DELIVERED,
        "before": None,
        "at": one.at,
        "reply": "250 2.0.0 taken",
        "source": "ses",
        "operator": False,
    }
    return site


def _address_suppressed(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = make_site()
    server.behaviour = Behaviour(at_rcpt="550 5.1.1 no such user")
    site.send()
    site.wait_for(signals.message_failed)
    site.wait_for(signals.address_suppressed)
    payload = _one(site, signals.address_suppressed)
    assert (payload["address"], payload["list"]) == (ADA, "")
    assert (payload["source"], payload["reason"]) == (
        "refusal",
        "refused: 550 5.1.1 no such user",
    )
    return site


def _unsubscribed(make_site: MakeSite, server: JournalSmtp) -> Site:
    """And changed their mind."""
    site = make_site(
        SECRET_KEY="a secret",
        SERVER_NAME="shop.example.com",
        OUTBOX_UNSUBSCRIBE_PATH="/unsubscribe",
    )
    link = site.mail.unsubscribe_url(ADA, list="news")
    client = site.app.test_client()
    for form in ({"List-Unsubscribe": "One-Click"}, {"Subscribe": "Again"}):
        client.post(link, data=form)
    expected = {"address": ADA, "list": "news"}
    assert _one(site, signals.unsubscribed) == expected
    assert _one(site, signals.resubscribed) == expected
    return site


def _rescued(make_site: MakeSite, server: JournalSmtp) -> Site:
    """A courier that took the message and was never seen again."""
    handed_over = make_site(OUTBOX_ENGINE="external")
    receipt = handed_over.send()
    handed_over.outbox.register("DEAD", "thread", lease_seconds=0.0)
    handed_over.outbox.claim("DEAD", "default", 1)
    url = str(handed_over.outbox.database.url)
    site = make_site(OUTBOX_URL=url)
    site.mail.start()
    payload = _one(site, signals.message_rescued)
    assert (payload["message_id"], payload["dead"]) == (receipt.id, "DEAD")
    assert payload["state"] is State.PENDING
    assert site.settled(receipt).state is State.SENT
    return site


def _cancelled(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = make_site()
    receipt = site.send(delay=HOUR)
    site.mail.cancel(receipt.id)
    assert _one(site, signals.message_cancelled)["message_id"] == receipt.id
    return site


def _retried(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = make_site()
    receipt = site.send(delay=HOUR)
    site.mail.retry(receipt.id)
    assert _one(site, signals.message_retried)["message_id"] == receipt.id
    return site


def _batch_stopped(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = make_site()
    with site.app.app_context():
        batch = site.mail.send_many([Message("Hello", [ADA])], delay=HOUR).id
        site.mail.pause_batch(batch)
        site.mail.resume_batch(batch)
        site.mail.cancel_batch(batch)
    assert _one(site, signals.batch_cancelled)["batch"] == batch
    return site


def _lease_lost(make_site: MakeSite, server: JournalSmtp) -> Site:
    """Another courier was given the message while the first one still delivers."""
    site = make_site()
    server.behaviour = Behaviour(hang=True)
    receipt = site.send()
    first = _one(site, signals.message_began)["courier"]
    site.outbox.register("OTHER", "thread", lease_seconds=60.0)
    site.outbox.return_untried(first, [receipt.id], "for the test")
    assert [one.id for one in site.outbox.claim("OTHER", "default", 1)] == [receipt.id]
    server.behaviour = Behaviour()
    payload = _one(site, signals.lease_lost)
    assert (payload["message_id"], payload["courier"]) == (receipt.id, first)
    assert site.get(receipt).state is State.LEASED
    return site


def _lane_paused(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = make_site()
    server.go_down()
    site.send()
    payload = site.wait_for(signals.lane_paused)[0]
    assert payload["lane"] == "default"
    assert f"{server.port} refused the connection" in payload["reason"]
    assert 0 < payload["seconds"] <= 0.1
    return site


def _lane_resumed(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = _lane_paused(make_site, server)
    server.come_back()
    assert _one(site, signals.lane_resumed)["lane"] == "default"
    server.wait_for(1)
    return site


def _alert_raised(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = make_site(**down_soon())
    server.go_down()
    with impatient():
        site.send()
        payload = site.wait_for(signals.alert_raised)[0]
    assert (payload["kind"], payload["lane"]) == ("lane_down", "default")
    assert f"{server.port} refused the connection" in payload["reason"]
    return site


def _alert_ended(make_site: MakeSite, server: JournalSmtp) -> Site:
    with impatient():
        site = _alert_raised(make_site, server)
        server.come_back()
        payload = _one(site, signals.alert_ended)
    (raised,) = site.told(signals.alert_raised)
    assert payload["alert_id"] == raised["alert_id"]
    assert payload["ended_at"] > payload["began_at"]
    return site


def _courier_started(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = make_site()
    site.mail.start()
    payload = _one(site, signals.courier_started)
    (courier,) = site.status().couriers
    assert (payload["courier"], payload["engine"]) == (courier.id, courier.engine)
    return site


def _courier_stopped(make_site: MakeSite, server: JournalSmtp) -> Site:
    site = _courier_started(make_site, server)
    site.mail.stop()
    stopped = _one(site, signals.courier_stopped)["courier"]
    assert stopped == _one(site, signals.courier_started)["courier"]
    return site


def _courier_stalled(make_site: MakeSite, server: JournalSmtp) -> Site:
    """Its outbox is no database."""
    here = make_site()
    notes = here.app.instance_path + ".txt"
    with open(notes, "w") as file:  # noqa: PTH123
        file.write("no database, but long enough to be one" * 100)
    site = make_site(OUTBOX_URL=f"sqlite:///{notes}")
    site.mail.start()
    payload = site.wait_for(signals.courier_stalled)[0]
    assert isinstance(payload["error"], StoreError)
    return site


def _relay_stalled(make_site: MakeSite, server: JournalSmtp) -> Site:
    """Nobody answers, until somebody does."""
    site = make_site()
    answers = iter([False, True])

    def publish(_ids: object) -> None:
        if not next(answers):
            raise ConnectionError("nobody answers")

    notifier = BatchingNotifier(publish, site.app)
    notifier.committed(["ID"])
    payload = _one(site, signals.notifier_stalled)
    assert str(payload["error"]) == "nobody answers"
    assert _one(site, signals.notifier_resumed)["failures"] == 1
    notifier.stop()
    return site


SCENARIOS: dict[NamedSignal, Callable[[MakeSite, JournalSmtp], Site]] = {
    signals.email_dispatched: _dispatched,
    signals.message_enqueued: _enqueued,
    signals.message_sent_now: _sent_now,
    signals.message_began: _began,
    signals.message_rendered: _rendered,
    signals.message_sent: _sent,
    signals.message_deferred: _deferred,
    signals.message_failed: _failed,
    signals.message_unknown: _unknown,
    signals.message_returned: _returned,
    signals.message_suppressed: _suppressed,
    signals.message_changed: _changed,
    signals.message_stopped: _stopped,
    signals.message_resent: _resent,
    signals.message_sent_again: _sent_again,
    signals.outbox_pruned: _pruned,
    signals.fate_changed: _fate_changed,
    signals.address_suppressed: _address_suppressed,
    signals.unsubscribed: _unsubscribed,
    signals.resubscribed: _unsubscribed,
    signals.message_rescued: _rescued,
    signals.message_cancelled: _cancelled,
    signals.message_retried: _retried,
    signals.batch_paused: _batch_stopped,
    signals.batch_resumed: _batch_stopped,
    signals.batch_cancelled: _batch_stopped,
    signals.lease_lost: _lease_lost,
    signals.lane_paused: _lane_paused,
    signals.lane_resumed: _lane_resumed,
    signals.alert_raised: _alert_raised,
    signals.alert_ended: _alert_ended,
    signals.courier_started: _courier_started,
    signals.courier_stopped: _courier_stopped,
    signals.courier_stalled: _courier_stalled,
    signals.notifier_stalled: _relay_stalled,
    signals.notifier_resumed: _relay_stalled,
}

IN_THE_CALLERS_THREAD = {
    signals.email_dispatched,
    signals.message_enqueued,
    signals.message_sent_now,
    signals.message_suppressed,
    signals.message_changed,
    signals.message_stopped,
    signals.message_cancelled,
    signals.message_retried,
    signals.message_sent_again,
    signals.batch_paused,
    signals.batch_resumed,
    signals.batch_cancelled,
    signals.fate_changed,
    signals.unsubscribed,
    signals.resubscribed,
}


def test_there_is_a_scenario_for_each_signal():
    assert set(SCENARIOS) == set(SIGNALS)


def _documented(signal: NamedSignal) -> set[str]:
    """The words in double backticks; what all ends carry is in the module's text."""
    assert signals.__doc__
    common = signals.__doc__.partition("end an attempt")[2] if signal in ENDS else ""
    return set(re.findall(r"``(\w+)``", common + (signal.__doc__ or "")))


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.name)
def test_a_signal_is_sent_with_its_documented_payload(
    make_site: MakeSite, server: JournalSmtp, signal: NamedSignal
):
    site = SCENARIOS[signal](make_site, server)
    heard: list[Heard] = [one for one in site.heard if one.signal is signal]
    assert heard
    for one in heard:
        assert one.sender is site.app
        assert set(one.payload) >= _documented(signal) != set()
        in_the_background = one.thread in ("outbox-courier", "outbox-notifier")
        assert in_the_background is (signal not in IN_THE_CALLERS_THREAD)


def test_flask_mails_signal_is_flask_mails():
    """Listeners written for Flask-Mail are called as it called them."""
    assert email_dispatched is signals.email_dispatched


def test_a_listener_that_raises_does_no_harm(
    make_site: MakeSite, server: JournalSmtp, caplog: pytest.LogCaptureFixture
):
    site = make_site()
    called: list[str] = []

    def angry(sender: object, **_: Any) -> None:
        called.append("angry")
        raise RuntimeError("a listener's own trouble")

    server.behaviour = Behaviour(at_data="451 4.3.0 later")
    with ExitStack() as stack:
        for signal in SIGNALS:
            stack.enter_context(signal.connected_to(angry, sender=site.app))
        receipt = site.send()
        site.wait_for(signals.message_deferred)
        server.behaviour = Behaviour()
        site.wait_for(signals.message_sent)
        site.mail.stop()
    assert site.get(receipt).state is State.SENT
    assert len(server.mails) == 1
    logged = [one.getMessage() for one in caplog.records if one.exc_info]
    for name in (
        "email-dispatched",
        "message-enqueued",
        "courier-started",
        "message-began",
        "message-deferred",
        "message-sent",
        "courier-stopped",
    ):
        said = f"A listener of the signal {name} raised; no mail is affected."
        # The app's name comes first while couriers of others work in this process.
        assert any(line.endswith(said) for line in logged)
    caplog.clear()
