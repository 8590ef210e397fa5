"""Pictures of every page and state, to be looked at: ``scripts/pictures --every DIR``.

Each is taken on a desktop and on a phone, in light and in dark; in the language whose
code follows the folder, or in English.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flask import Flask
from inbox import order_sent
from playwright.sync_api import Browser, Page
from shop import Shop, mail, open_shop
from take import PHONE, SIZE, chromium, new_page

from flask_outbox import Mail
from flask_outbox.demo.app import running
from flask_outbox.demo.web import WebServer, listen

VARIANTS = list(
    product({"desktop": SIZE, "phone": PHONE}.items(), ("light", "dark")),
)


@dataclass(frozen=True)
class View:
    """One picture: a page, and what is done there before it is taken."""

    name: str
    address: str
    act: Callable[[Page], object] | None = None


def main(arguments: Sequence[str]) -> None:
    """Take all of them into the folder that is named."""
    folder = Path(arguments[0])
    language = arguments[1] if len(arguments) > 1 else "en"
    folder.mkdir(parents=True, exist_ok=True)
    with (
        chromium() as browser,
        running(0, None) as demo,
        empty_shop() as empty,
        busy_shop() as (shop, kept),
    ):
        views = [
            View("demo", demo.opens_at, send_one),
            View("tour", f"{demo.address}tour"),
            View("dashboard-closed", f"{demo.address}outbox/"),
            View("empty-overview", f"{empty}/"),
            View("empty-mail", f"{empty}/messages"),
            View("empty-inbox", f"{empty}/inbox"),
            View("empty-batches", f"{empty}/batches"),
            View("empty-suppressions", f"{empty}/suppressions"),
            *shop_views(shop, kept),
        ]
        for view in views:
            take(browser, view, folder, language)


def take(browser: Browser, view: View, folder: Path, language: str) -> None:
    """The picture in each of the variants."""
    for (device, size), scheme in VARIANTS:
        page = new_page(browser, viewport=size, color_scheme=scheme, locale=language)
        page.goto(view.address)
        if view.act:
            view.act(page)
        path = folder / f"{view.name}-{device}-{scheme}.png"
        page.screenshot(path=path, full_page=True)
        page.close()


def shop_views(shop: Shop, kept: str) -> Iterator[View]:
    """The pages of the dashboard, and the page that readers see."""
    home = shop.dashboard
    pages = {
        "overview": "/",
        "overview-day": "/?span=day",
        "overview-week": "/?span=week",
        "mail": "/messages",
        "mail-filtered": "/messages?is=sent&tag=news&last=1h",
        "mail-nothing": "/messages?q=nothing",
        "mail-wrong-filter": "/messages?last=soon&since=yesterday",
        "message": f"/messages/{shop.order}",
        "message-failed": f"/messages/{shop.refused}",
        "message-text": f"/messages/{shop.order}?view=text",
        "message-headers": f"/messages/{shop.order}?view=headers",
        "message-links": f"/messages/{shop.order}?view=links",
        "message-checks": f"/messages/{shop.order}?view=checks",
        "action": f"/act?action=retry&id={shop.refused}",
        "action-too-late": f"/act?action=cancel&id={shop.order}",
        "batches": "/batches",
        "batch": f"/batches/{shop.batch}",
        "batch-action": f"/batches/{shop.batch}/act?action=resume",
        "inbox": "/inbox",
        "inbox-message": f"/inbox/{kept}",
        "inbox-checks": f"/inbox/{kept}?view=checks",
        "release": f"/inbox/{kept}/release",
        "previews": "/previews",
        "preview": "/previews/order_sent",
        "lanes": "/lanes",
        "suppressions": "/suppressions",
        "suppression-of": "/suppressions?address=grace@example.org",
        "suppression-remove": "/suppressions/remove?address=grace@example.org",
        "webhooks": "/webhooks",
        "webhook": "/webhooks/crm",
        "audit": "/audit",
        "doctor": "/doctor",
        "not-found": "/messages/none",
        "refused": "/act?action=dance&id=none",
    }
    yield from (View(name, f"{home}{path}") for name, path in pages.items())
    yield View("overview-table", f"{home}/", open_table)
    yield View("keyboard-shortcuts", f"{home}/messages", open_sheet)
    yield View("mail-chosen", f"{home}/messages", choose_one)
    yield View("exact-times", f"{home}/messages", press_exact_times)
    yield View("unsubscribe", shop.unsubscribe.replace("https:", "http:"))


def send_one(page: Page) -> None:
    """Send a mail in the demo, and wait until its story is told."""
    page.get_by_role("button", name="Send", exact=True).click()
    page.locator("#rows").filter(has_text="Email sent!").wait_for()


def open_table(page: Page) -> None:
    """The plots as a table."""
    page.locator("#stats-table summary").click()


def open_sheet(page: Page) -> None:
    """The sheet of the keyboard shortcuts."""
    page.locator("#keys-open").click()


def choose_one(page: Page) -> None:
    """A mail, so that its actions can be pressed."""
    page.locator(".choose input").first.check()


def press_exact_times(page: Page) -> None:
    """Exact times in place of relative ones."""
    page.locator("#exact-times").click()


@contextmanager
def busy_shop() -> Iterator[tuple[Shop, str]]:
    """The shop of the other pictures with an inbox, a preview, an endpoint and a
    suppression; and the id of a mail in the inbox.
    """
    endpoint = {"url": "https://crm.example.com/hooks", "secrets": "whsec_" + "A" * 32}
    more: dict[str, Any] = {
        "OUTBOX_WEBHOOKS": {"crm": endpoint},
        "OUTBOX_ALERTS": True,
    }
    mail.preview(order_sent)
    with open_shop(transports={"kept": "inbox://"}, **more) as shop:
        with shop.app.test_request_context():
            kept = mail.send(order_sent(), transport="kept", tag="orders").id
            mail.drain(10)
            mail.pause("news", reason="the writer has found a mistake")
            mail.suppress("grace@example.org", reason="she asked us by telephone")
        yield shop, kept


@contextmanager
def empty_shop() -> Iterator[str]:
    """The address of the dashboard of an app that has sent nothing yet."""
    with TemporaryDirectory() as folder:
        app = Flask("empty", instance_path=folder)
        app.config.update(DEBUG=True, MAIL_URL="inbox://", OUTBOX_DASHBOARD="local")
        own_mail = Mail(app)
        web = WebServer(app, listen(0))
        web.start()
        yield f"{web.address}outbox"
        web.stop()
        with app.app_context():
            own_mail.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
