"""The dashboard's pages of webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from flask_outbox import Message
from flask_outbox.outbox import Outbox, WebhookAttempt, WebhookStore
from tests.browser import chromium, opened, serious_findings
from tests.dashboard.conftest import OpenShop
from tests.dashboard.serving import served
from tests.dashboard.shop import Shop
from tests.servers.webhook_receiver import WebhookReceiver
from tests.webhooks.conftest import GIVE_UP_SECONDS
from tests.webhooks.test_app import crm
from tests.webhooks.test_commands import CRM

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture
def shop(open_shop: OpenShop, receiver: WebhookReceiver) -> Shop:
    """A shop with an endpoint, and no courier."""
    shop = open_shop(**crm(receiver))
    shop.runtime.webhooks.begin("crm")
    return shop


def cancel(shop: Shop) -> str:
    """Have a message cancelled, and that queued; its id."""
    id = shop.keep(Message("Hello", ["ada@example.org"], "Hello"))
    with shop.app.app_context():
        shop.mail.cancel(id)
    shop.runtime.webhooks.copy(CRM)
    return id


def fail(shop: Shop) -> None:
    """Have the endpoint fail all that is due."""
    store = shop.runtime.webhooks
    answers = [
        WebhookAttempt(one, 503, "it answered 503") for one in store.claim("crm", 100)
    ]
    store.record("crm", answers)


def test_endpoints_are_in_the_navigation_where_there_are_some(
    shop: Shop, open_shop: OpenShop
) -> None:
    assert "/outbox/webhooks" in shop.page("/lanes")
    other = open_shop()
    assert "/outbox/webhooks" not in other.page("/lanes")
    assert "is not set" in other.page("/webhooks")


def test_an_endpoint_is_shown_without_what_may_be_secret(
    shop: Shop, receiver: WebhookReceiver
) -> None:
    id = cancel(shop)
    fail(shop)
    for path in ("/webhooks", "/webhooks/crm"):
        page = shop.page(path)
        assert f"http://127.0.0.1:{receiver.port}" in page
        assert "s3cret" not in page
        assert "whsec_" not in page
    assert f"/outbox/messages/{id}" in page
    assert "it answered 503" in page


def test_an_endpoint_is_paused_and_resumed(shop: Shop) -> None:
    answer = shop.post("/webhooks/crm/pause", reason="the CRM moves")
    assert (answer.status_code, answer.location) == (303, "/outbox/webhooks/crm")
    assert "the CRM moves" in shop.page("/webhooks")
    cancel(shop)
    assert shop.runtime.webhooks.claim("crm", 10) == []
    shop.post("/webhooks/crm/resume")
    assert len(shop.runtime.webhooks.claim("crm", 10)) == 1


def test_what_failed_is_sent_again(shop: Shop) -> None:
    cancel(shop)
    fail(shop)
    late = shop.outbox.clock() + GIVE_UP_SECONDS
    WebhookStore(Outbox(shop.outbox.database, lambda: late)).give_up("crm")
    assert "1 failed" in shop.page("/webhooks/crm")
    assert shop.post("/webhooks/crm/replay").status_code == 303
    assert len(shop.runtime.webhooks.claim("crm", 10)) == 1


def test_all_of_the_last_day_is_sent_again(shop: Shop) -> None:
    cancel(shop)
    store = shop.runtime.webhooks
    (claim,) = store.claim("crm", 10)
    store.record("crm", [WebhookAttempt(claim, 204, None)])
    shop.post("/webhooks/crm/replay", which="day")
    (again,) = store.claim("crm", 10)
    assert again.id == claim.id


def test_an_endpoint_is_tried(shop: Shop) -> None:
    shop.post("/webhooks/crm/test")
    (claim,) = shop.runtime.webhooks.claim("crm", 10)
    assert claim.id.startswith("test_")
    assert claim.id in shop.page("/webhooks/crm")


def test_an_unknown_endpoint_is_not_found(shop: Shop) -> None:
    assert shop.ask("/webhooks/crn").status_code == 404
    for action in ("pause", "resume", "replay", "test"):
        assert shop.post(f"/webhooks/crn/{action}").status_code == 404


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, as the system has it."""
    with chromium() as browser:
        yield browser


@pytest.mark.parametrize("width", [360, 1280])
def test_anyone_can_use_the_pages(shop: Shop, browser: Browser, width: int) -> None:
    """On a phone too, and with a screen reader; and the buttons work."""
    for _ in range(6):
        cancel(shop)
    fail(shop)
    with (
        served(shop.app) as address,
        opened(
            browser, f"{address}/webhooks", viewport={"width": width, "height": 740}
        ) as page,
    ):
        assert serious_findings(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.get_by_role("link", name="crm").click()
        page.get_by_role("heading", name="Webhooks for crm").wait_for()
        assert serious_findings(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.get_by_role("button", name="Resume").click()
        page.get_by_text("open", exact=True).wait_for()
        page.get_by_label("Why").fill("the CRM moves")
        page.get_by_role("button", name="Pause").click()
        page.get_by_text("by a person: the CRM moves").wait_for()
