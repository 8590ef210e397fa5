"""Webhooks of an app: from ``mail.send`` to its receiver, by its courier."""

from __future__ import annotations

import threading
from signal import SIGTERM
from typing import Any

from flask_outbox import State, signals
from tests.cli.conftest import MakeShop
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA
from tests.servers import Behaviour, JournalSmtp
from tests.servers.webhook_receiver import SECRET, WebhookReceiver
from tests.waiting import WAIT_SECONDS


def crm(receiver: WebhookReceiver, **entry: object) -> dict[str, Any]:
    """The setting of one endpoint."""
    usual = {"url": receiver.url, "secrets": SECRET, "allow_private": True}
    return {"OUTBOX_WEBHOOKS": {"crm": {**usual, **entry}}}


def test_an_app_is_told_that_its_very_first_mail_was_sent(
    make_site: MakeSite, receiver: WebhookReceiver, url: str
) -> None:
    site = make_site(OUTBOX_URL=url, **crm(receiver))
    receipt = site.send(ADA, tag="welcome", metadata={"order": 7})
    (told,) = receiver.wait_for(1, WAIT_SECONDS)
    assert told.type == "message.sent"
    data = told.json["data"]
    assert (data["message_id"], data["tag"]) == (receipt.id, "welcome")
    assert "metadata" not in data


def test_an_app_is_told_that_its_mail_failed(
    make_site: MakeSite, server: JournalSmtp, receiver: WebhookReceiver
) -> None:
    server.behaviour = Behaviour(at_rcpt="550 5.1.1 no such user")
    site = make_site(**crm(receiver, metadata=True))
    site.send(ADA, metadata={"order": 7})
    (told,) = receiver.wait_for(1, WAIT_SECONDS)
    assert told.type == "message.failed"
    assert told.json["data"]["metadata"] == {"order": 7}
    assert told.json["data"]["recipients"] == [
        {"address": ADA, "state": "failed", "code": 550, "enhanced": "5.1.1"}
    ]


def test_mail_is_delivered_while_no_endpoint_answers(
    make_site: MakeSite, receiver: WebhookReceiver
) -> None:
    with WebhookReceiver() as down:
        pass
    site = make_site(**crm(down))
    for _ in range(20):
        site.settled(site.send(ADA))


def test_an_ending_process_tells_of_its_last_mail(
    make_site: MakeSite, receiver: WebhookReceiver
) -> None:
    site = make_site(**crm(receiver))
    site.make_ready()
    receipt = site.send(ADA)
    site.runtime.stop(drain=True)
    (told,) = receiver.received
    assert told.json["data"]["message_id"] == receipt.id


def test_a_process_ends_in_time_although_an_endpoint_never_answers(
    make_site: MakeSite, receiver: WebhookReceiver
) -> None:
    answers = threading.Event()
    receiver.answer = lambda _: 204 if answers.wait(WAIT_SECONDS) else 503
    site = make_site(OUTBOX_GRACE_SECONDS=1.0, **crm(receiver))
    site.make_ready()
    receipt = site.send(ADA)
    site.runtime.stop(drain=True)
    assert not answers.is_set()
    assert site.get(receipt).state is State.SENT
    assert site.status().couriers == ()
    answers.set()


def test_a_worker_for_cron_sends_webhooks_too(
    make_shop: MakeShop, receiver: WebhookReceiver
) -> None:
    shop = make_shop(**crm(receiver))
    shop.runtime.webhooks.begin("crm")
    id = shop.send()
    shop.run("worker", "--until-drained")
    (told,) = receiver.received
    assert told.json["data"]["message_id"] == id


def test_a_worker_for_cron_ends_at_a_signal_while_it_sends_webhooks(
    make_shop: MakeShop, receiver: WebhookReceiver
) -> None:
    """What no endpoint has answered is given back."""
    answers = threading.Event()
    receiver.answer = lambda _: 204 if answers.wait(WAIT_SECONDS) else 503
    shop = make_shop(**crm(receiver))
    shop.runtime.webhooks.begin("crm")
    id = shop.send()
    with shop.process("worker", "--until-drained") as worker:
        receiver.wait_for(1, WAIT_SECONDS)
        worker.signal(SIGTERM)
        worker.ended()
    answers.set()
    (webhook,) = shop.runtime.webhooks.webhooks("crm")
    assert (webhook.message_id, webhook.attempts) == (id, 0)


def test_pruning_waits_for_what_is_to_be_told(
    make_site: MakeSite, receiver: WebhookReceiver, url: str
) -> None:
    """No courier ran for longer than rows are kept, and the first prunes at once."""
    keep = {"OUTBOX_ENGINE": "external", "OUTBOX_KEEP_ROWS": 0.001}
    site = make_site(OUTBOX_URL=url, **keep, **crm(receiver))
    site.runtime.webhooks.begin("crm")
    receipt = site.send(ADA)
    with site.app.app_context():
        site.mail.cancel(receipt.id)
    site.runtime.start()
    site.wait_for(signals.outbox_pruned)
    (told,) = receiver.wait_for(1, WAIT_SECONDS)
    assert told.type == "message.cancelled"
    assert told.json["data"]["message_id"] == receipt.id


def test_pruning_by_a_person_waits_for_it_too(
    make_shop: MakeShop, receiver: WebhookReceiver
) -> None:
    shop = make_shop(OUTBOX_KEEP_ROWS=0.001, **crm(receiver))
    shop.runtime.webhooks.begin("crm")
    shop.run("cancel", shop.send())
    assert "record of 1 message" in shop.run("prune").stdout
    (waiting,) = shop.runtime.webhooks.webhooks("crm")
    assert waiting.kind == "cancelled"
