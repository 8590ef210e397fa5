"""Every page of the dashboard in a browser: accessible, and as wide as the screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

from flask_outbox import Message, signals
from tests.browser import chromium, opened, serious_findings
from tests.dashboard.conftest import OpenShop
from tests.dashboard.serving import served
from tests.dashboard.shop import Shop
from tests.servers import Behaviour, JournalSmtp
from tests.servers.webhook_receiver import SECRET

if TYPE_CHECKING:
    from playwright.sync_api import Page

WIDE = {"width": 1280, "height": 720}
NARROW = {"width": 360, "height": 740}

PAGES = {
    "overview": ["", "?span=week"],
    "messages": ["messages", "messages?q=nothing&last=soon"],
    "message": ["messages/{failed}", "messages/{failed}?view=headers"],
    "confirm": ["act?action=retry&id={failed}"],
    "confirm_all": ["act/all?action=retry&is=failed"],
    "batches": ["batches"],
    "batch": ["batches/{batch}"],
    "confirm_batch": ["batches/{batch}/act?action=pause"],
    "inbox": ["inbox"],
    "inbox_message": ["inbox/{kept}?view=checks"],
    "release": ["inbox/{kept}/release"],
    "previews": ["previews"],
    "preview": ["previews/welcome"],
    "lanes": ["lanes"],
    "suppressions": ["suppressions?address=ada@example.org"],
    "confirm_unsuppress": ["suppressions/remove?address=ada@example.org"],
    "webhooks": ["webhooks"],
    "webhook_endpoint": ["webhooks/crm"],
    "audit_trail": ["audit"],
    "doctor": ["doctor"],
}
"""Each view that makes a page, and addresses of it."""

NO_PAGES = {
    "static",
    "stream",
    "batch_report",
    "export_csv",
    "export_json",
    "preview_digest",
}
"""Views with other answers, besides the parts of a mail."""

PARTS = ("html", "source", "file", "part")


@pytest.fixture
def ids(open_shop: OpenShop, server: JournalSmtp) -> tuple[Shop, Mapping[str, str]]:
    """A shop with something on every page, and the ids that the addresses name."""
    endpoint = {"url": "https://crm.example.com/", "secrets": SECRET}
    shop = open_shop(
        OUTBOX_ENGINE="thread",
        MAIL_TRANSPORTS={"kept": "inbox://"},
        OUTBOX_WEBHOOKS={"crm": endpoint},
    )
    shop.mail.preview("welcome")(welcome)
    kept = shop.keep(welcome(), transport="kept")
    shop.wait_for(signals.message_sent)
    server.behaviour = Behaviour(at_rcpt="550 5.1.1 no such person")
    failed = shop.keep(welcome("x" * 200), tag="a" * 60)
    shop.wait_for(signals.message_failed)
    with shop.app.app_context():
        news = [
            Message("News", [f"user{row}@example.org"], "Hello") for row in range(3)
        ]
        batch = shop.mail.send_many(news, name="November", delay=3_600).id
        shop.mail.stop()  # so that its counts are written
    return shop, {"failed": failed, "kept": kept, "batch": batch}


def welcome(name: str = "Ada") -> Message:
    """What a new customer gets."""
    return Message(f"Welcome, {name}", ["ada@example.org"], "Hi", html="<p>Hi</p>")


def test_every_page_is_accessible_and_fits_the_screen(
    ids: tuple[Shop, Mapping[str, str]],
) -> None:
    shop, named = ids
    with (
        chromium() as browser,
        served(shop.app) as address,
        opened(browser, f"{address}/", viewport=WIDE) as page,
    ):
        for path in [path for paths in PAGES.values() for path in paths]:
            page.set_viewport_size(WIDE)  # type: ignore[arg-type]
            page.emulate_media(color_scheme="light")
            response = page.goto(f"{address}/{path.format_map(named)}")
            assert response
            assert response.ok, path
            assert serious_findings(page) == [], path
            assert overflow(page) == 0, path
            page.set_viewport_size(NARROW)  # type: ignore[arg-type]
            page.emulate_media(color_scheme="dark")
            assert serious_findings(page, "color-contrast") == [], path
            assert overflow(page) == 0, path


def overflow(page: Page) -> int:
    """By how much the page is wider than the screen."""
    found: int = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return found


def test_no_page_is_left_out(shop: Shop) -> None:
    views = {
        rule.endpoint.partition(".")[2]
        for rule in shop.routes()
        if "GET" in (rule.methods or ())
    }
    parts = {f"{kind}_{part}" for kind in ("message", "preview") for part in PARTS}
    assert views - parts - NO_PAGES == set(PAGES)
