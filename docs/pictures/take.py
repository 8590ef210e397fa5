"""The pictures of pages in the documentation. ``scripts/pictures`` takes them anew."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inbox import take_inbox
from letter import take_letter
from playwright.sync_api import Browser, FloatRect, Page, sync_playwright
from shop import Shop, open_shop
from tutorial import take_tutorial

from flask_outbox.demo.app import running

HERE = Path(__file__).parent
WAIT_MS = 60_000
SIZE = {"width": 1120, "height": 1000}
PHONE = {"width": 390, "height": 844}
CORNER = FloatRect(x=0, y=0, width=390, height=420)


def main() -> None:
    """Take all of them."""
    with chromium() as browser:
        with running(0, None) as demo:
            take_tour(new_page(browser), f"{demo.address}tour")
        with open_shop() as shop:
            take_dashboard(new_page(browser), shop)
            take_unsubscribing(new_page(browser, viewport=PHONE), shop)
            take_dark(new_page(browser, viewport=PHONE, color_scheme="dark"), shop)
        take_inbox(browser)
        take_tutorial(browser)
        take_letter(browser)


def new_page(browser: Browser, **options: Any) -> Page:
    """An empty page on which nothing moves."""
    page = browser.new_page(**{"viewport": SIZE, "reduced_motion": "reduce", **options})
    page.set_default_timeout(WAIT_MS)
    return page


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's, or playwright's own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu"],
        )
        yield browser
        browser.close()


def take_tour(page: Page, address: str) -> None:
    """The tour at its third step, and what crashes left."""
    page.goto(address)
    page.get_by_role("button", name="Start").click()
    page.locator("#step-6[data-happened]").wait_for(state="attached")
    for _ in range(2):
        page.get_by_role("button", name="Next").click()
    page.screenshot(path=HERE / "tour.png")
    for step in (2, 4):
        page.get_by_role("button", name=f"at step {step}").click()
        told = page.locator(f'[data-live="crash-{step}-outbox"]')
        told.filter(has_text="Tried").wait_for()
    page.locator("#step").evaluate("step => step.hidden = true")  # it floats
    page.locator("#losses").screenshot(path=HERE / "tour-crash.png")


def take_dashboard(page: Page, shop: Shop) -> None:
    """The overview, one mail with its history, and a batch."""
    for name, path in {
        "overview": "/",
        "mail": f"/messages/{shop.order}",
        "batch": f"/batches/{shop.batch}",
    }.items():
        page.goto(f"{shop.dashboard}{path}")
        page.screenshot(path=HERE / f"dashboard-{name}.png")


def take_unsubscribing(page: Page, shop: Shop) -> None:
    """What a reader sees who follows the link."""
    page.goto(shop.unsubscribe.replace("https:", "http:"))
    page.screenshot(path=HERE / "unsubscribe.png", clip=CORNER)
    page.goto(f"{page.url}?lang=de")
    page.screenshot(path=HERE / "unsubscribe-de.png", clip=CORNER)


def take_dark(page: Page, shop: Shop) -> None:
    """The list on a phone, in the dark."""
    page.goto(f"{shop.dashboard}/messages")
    page.screenshot(path=HERE / "dashboard-phone.png")


if __name__ == "__main__":
    main()
