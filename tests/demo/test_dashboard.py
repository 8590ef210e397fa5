"""The demo's dashboard: the page leads to it, and only who has the terminal gets in."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.browser import opened
from tests.demo.running import RunningDemo

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_the_address_in_the_terminal_opens_the_dashboard(
    browser: Browser, demo: RunningDemo
) -> None:
    demo.send()
    with opened(browser, demo.opens_at) as page:
        page.get_by_role("link", name="dashboard", exact=True).click()
        page.get_by_role("heading", name="Overview").wait_for()
        assert "token" not in page.url
        page.get_by_role("link", name="Mail", exact=True).click()
        page.get_by_role("link", name="Hello Ada").first.click()
        page.get_by_role("heading", name="History").wait_for()


def test_a_receipt_comes_into_the_inbox_and_has_a_preview(
    browser: Browser, demo: RunningDemo
) -> None:
    with opened(browser, demo.opens_at) as page:
        page.get_by_role("button", name="Put a receipt into the inbox").click()
        page.get_by_role("link", name="inbox", exact=True).click()
        page.get_by_role("link", name="Your order 2026114").first.click()
        page.frame_locator("iframe").get_by_text("Thank you, Ada!").wait_for()
        page.get_by_role("link", name="Previews").click()
        page.get_by_role("link", name="receipt").click()
        page.frame_locator("iframe").get_by_text("2 brass kettles").wait_for()
    arrived = {one["subject"] for one in demo.now()["arrived"]}
    assert "Your order 2026114" not in arrived


def test_the_page_does_not_reveal_the_token(demo: RunningDemo) -> None:
    token = urlsplit(demo.opens_at).query.removeprefix("token=")
    assert len(token) > 20
    page = demo.ask("GET", "/").text
    assert 'href="/outbox/"' in page
    assert token not in page
    assert demo.ask("GET", "/outbox/").status == 403
    assert demo.ask("GET", "/outbox/?token=guess").status == 403
