"""The pictures of pages in the documentation. ``scripts/pictures`` takes them anew."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inbox import take_inbox
from playwright.sync_api import Browser, Page, sync_playwright

from flask_outbox.demo.running import running

HERE = Path(__file__).parent
WAIT_MS = 60_000
SIZE = {"width": 1120, "height": 1000}


def main() -> None:
    """Take all of them."""
    with chromium() as browser, running(0, None) as demo:
        page = browser.new_page(viewport=SIZE, reduced_motion="reduce")
        page.set_default_timeout(WAIT_MS)
        take_tour(page, f"{demo.address}tour")
        take_inbox(browser)


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


if __name__ == "__main__":
    main()
