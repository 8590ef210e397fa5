"""``flask outbox webhooks``, and what ``status`` says of endpoints."""

from __future__ import annotations

import pytest

from flask_outbox.cli import webhooks as commands
from flask_outbox.outbox import Feed, Outbox, WebhookAttempt, WebhookStore
from flask_outbox.webhooks.kinds import DEFAULT_WEBHOOK_KINDS
from tests.cli.conftest import MakeShop
from tests.cli.shop import Shop
from tests.servers.webhook_receiver import WebhookReceiver
from tests.waiting import WAIT_SECONDS
from tests.webhooks.conftest import GIVE_UP_SECONDS
from tests.webhooks.test_app import crm

CRM = Feed("crm", frozenset(DEFAULT_WEBHOOK_KINDS), False, GIVE_UP_SECONDS)


@pytest.fixture
def shop(make_shop: MakeShop, receiver: WebhookReceiver) -> Shop:
    """A shop with an endpoint."""
    shop = make_shop(**crm(receiver))
    shop.runtime.webhooks.begin("crm")
    return shop


def cancel(shop: Shop, number: int = 1) -> None:
    """Queue webhooks: so many messages are cancelled."""
    for _ in range(number):
        shop.run("cancel", shop.send())
    shop.runtime.webhooks.copy(CRM)


def fail(shop: Shop, status: int) -> None:
    """Have the endpoint answer so to all that is due."""
    store = shop.runtime.webhooks
    error = f"it answered {status}"
    gone = status == 410
    answers = [
        WebhookAttempt(one, status, error, gone) for one in store.claim("crm", 100)
    ]
    store.record("crm", answers)


def test_endpoints_are_listed_without_what_may_be_secret(
    shop: Shop, receiver: WebhookReceiver
) -> None:
    cancel(shop, 2)
    said = shop.run("webhooks").stdout
    assert f"crm       http://127.0.0.1:{receiver.port}" in said
    assert "s3cret" not in said
    (one,) = shop.document("webhooks")["endpoints"]
    assert (one["name"], one["waiting"], one["failed"]) == ("crm", 2, 0)
    assert "s3cret" not in str(one)


def test_without_endpoints_that_is_said(make_shop: MakeShop) -> None:
    shop = make_shop()
    assert "OUTBOX_WEBHOOKS is not set" in shop.run("webhooks").stdout
    assert shop.document("status")["webhooks"] == []


def test_an_endpoint_is_shown_with_its_webhooks(shop: Shop) -> None:
    cancel(shop)
    fail(shop, 503)
    said = shop.run("webhooks", "show", "crm").stdout
    assert "cancelled" in said
    assert "it answered 503" in said
    (one,) = shop.document("webhooks", "show", "crm")["webhooks"]
    assert (one["state"], one["attempts"], one["status"]) == ("pending", 1, 503)


def test_an_unknown_endpoint_is_refused(shop: Shop) -> None:
    for command in ("show", "pause", "resume", "test"):
        result = shop.run("webhooks", command, "crn", code=1)
        assert result.stderr == (
            "Error: OUTBOX_WEBHOOKS has no endpoint 'crn': it has 'crm'.\n"
        )


def test_what_failed_is_replayed(shop: Shop) -> None:
    cancel(shop, 2)
    fail(shop, 503)
    store = shop.runtime.webhooks
    late = shop.outbox.clock() + GIVE_UP_SECONDS
    WebhookStore(Outbox(shop.outbox.database, lambda: late)).give_up("crm")
    assert shop.document("webhooks")["endpoints"][0]["failed"] == 2
    said = shop.run("webhooks", "replay", "crm", "--failed").stdout
    assert said == "To be sent again: 2 webhooks.\n"
    assert len(store.claim("crm", 10)) == 2


@pytest.mark.parametrize("since", ["90min", "2h", "1d", "2020-01-01T00:00"])
def test_what_was_taken_is_replayed_since_a_time(shop: Shop, since: str) -> None:
    cancel(shop)
    store = shop.runtime.webhooks
    (claim,) = store.claim("crm", 1)
    store.record("crm", [WebhookAttempt(claim, 204, None)])
    replay = ("webhooks", "replay", "crm", "--since")
    assert "0 webhooks." in shop.run(*replay, "2999-01-01").stdout
    assert "1 webhook." in shop.run(*replay, since).stdout


def test_what_to_replay_must_be_said(shop: Shop) -> None:
    shop.run("webhooks", "replay", "crm", code=2)
    shop.run("webhooks", "replay", "crm", "--failed", "--since", "2h", code=2)
    shop.run("webhooks", "replay", "crm", "--since", "yesterday", code=2)


def test_an_endpoint_is_paused_and_resumed(shop: Shop) -> None:
    said = shop.run("webhooks", "pause", "crm", "--reason", "the CRM moves").stdout
    assert "Webhooks crm: paused by a person: the CRM moves" in said
    cancel(shop)
    assert shop.runtime.webhooks.claim("crm", 10) == []
    shop.run("status")
    assert "person" not in shop.run("webhooks", "resume", "crm").stdout
    assert len(shop.runtime.webhooks.claim("crm", 10)) == 1


def test_an_endpoint_that_takes_none_is_a_problem(shop: Shop) -> None:
    cancel(shop, 5)
    fail(shop, 503)
    said = shop.run("status", code=1).stdout
    assert "5 webhooks waiting for crm, which accepts none: it answered 503." in said
    assert "Webhooks crm: paused, next probe 20" in said


def test_an_endpoint_that_is_gone_is_a_problem(shop: Shop) -> None:
    cancel(shop)
    fail(shop, 410)
    document = shop.document("status", code=1)
    assert document["problems"] == [
        "1 webhook waiting for crm, which accepts none: it answered 410 Gone: it wants "
        "no more."
    ]
    assert document["webhooks"][0]["paused_by"] == "gone"


def test_an_endpoint_is_tried(shop: Shop, receiver: WebhookReceiver) -> None:
    shop.runtime.start()
    assert "crm took test_" in shop.run("webhooks", "test", "crm").stdout
    (one,) = receiver.wait_for(1, WAIT_SECONDS)
    assert one.type == "outbox.test"


def test_it_is_said_that_an_endpoint_fails_the_test(
    shop: Shop, receiver: WebhookReceiver
) -> None:
    receiver.answer = lambda _: 404
    shop.runtime.start()
    result = shop.run("webhooks", "test", "crm", code=1)
    assert "it answered 404. It is sent again later." in result.stderr


def test_without_a_courier_the_test_says_so(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "TEST_SECONDS", 0.01)
    result = shop.run("webhooks", "test", "crm", code=1)
    assert "is a courier running" in result.stderr
    assert "The first request to a web process starts its own." in result.stderr


def test_a_paused_endpoint_is_not_tried(shop: Shop) -> None:
    shop.run("webhooks", "pause", "crm", "--reason", "the CRM moves")
    result = shop.run("webhooks", "test", "crm", code=1)
    assert "crm is sent nothing: it is paused by a person: the CRM moves" in (
        result.stderr
    )
    assert "flask outbox webhooks resume crm" in result.stderr
    (endpoint,) = shop.runtime.webhook_statuses()
    assert endpoint.waiting == 0
