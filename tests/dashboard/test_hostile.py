"""500 hostile mails in a real browser: nothing of them runs, and nothing leaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING

import pytest
from flask import request

from flask_outbox.dashboard.mail_view import sanitized_html
from flask_outbox.mime.parse import parse_message
from tests.browser import WAIT_MS, chromium
from tests.dashboard.hostile import ATTACKS, EVALUATED, Sink, hostile_messages
from tests.dashboard.serving import served
from tests.dashboard.shop import Shop
from tests.waiting import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

MAILS = 500
FRAMES = 50
"""How many mails are looked at at a time."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, as the system has it."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def sink() -> Iterator[Sink]:
    """The attacker's host."""
    with Sink() as sink:
        yield sink


class Victim:
    """Whoever reads hostile mail, and what has happened to them."""

    def __init__(self, shop: Shop, sink: Sink, context: BrowserContext) -> None:
        self.page: Page = context.new_page()
        self.ran: list[str] = []
        self.asked: list[str] = []
        """Requests to the app that no page of the dashboard would send."""
        self.ids = self._receive(shop, sink)
        shop.app.before_request(self._notice)
        shop.app.add_url_rule("/frames/<int:n>", "frames", self._frames)
        shop.app.add_url_rule("/bare", "bare", lambda: self._bare(shop))
        context.on("console", self._hear)
        context.on("page", lambda one: self.ran.append(f"a window: {one.url}"))

    def _receive(self, shop: Shop, sink: Sink) -> list[str]:
        mails = list(hostile_messages(sink.address, "/own", MAILS))
        assert len(mails) == MAILS
        shop.outbox.enqueue(mails)
        return [one.id for one in mails]

    def _notice(self) -> None:
        if request.path.startswith("/own") or "/own" in request.query_string.decode():
            self.asked.append(request.url)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.text == "RAN":
            self.ran.append("a script")

    def _frames(self, n: int) -> str:
        """Many mails on one page, each in a frame as on its own page."""
        return "".join(
            f'<iframe sandbox src="/outbox/messages/{id}/html"></iframe>'
            for id in self.ids[n : n + FRAMES]
        )

    def _bare(self, shop: Shop) -> str:
        """The same mails without any protection."""
        bodies = [escape(_html(shop, id)) for id in self.ids[: len(ATTACKS)]]
        return "".join(f"<iframe srcdoc='{one}'></iframe>" for one in bodies)

    def look(self, address: str) -> None:
        """Open a page and let it come to rest."""
        self.page.goto(address, wait_until="load", timeout=WAIT_MS)

    def has_suffered(self) -> bool:
        """Whether anything has run or was asked for."""
        titled = self.page.title() == "RAN"
        return bool(titled or self.ran or self.asked or self.page.evaluate("!!top.RAN"))


def _html(shop: Shop, id: str) -> str:
    content = shop.outbox.content(id)
    assert content
    html = parse_message(content).html
    assert html
    return html.text


@contextmanager
def reading(browser: Browser, shop: Shop, sink: Sink) -> Iterator[tuple[Victim, str]]:
    """Somebody who reads 500 hostile mails, and where."""
    context = browser.new_context()
    victim = Victim(shop, sink, context)
    with served(shop.app) as address:
        yield victim, address.removesuffix("/outbox")
        context.close()


def test_hostile_mail_runs_nothing_and_fetches_nothing(
    browser: Browser, shop: Shop, sink: Sink
) -> None:
    with reading(browser, shop, sink) as (victim, address):
        for first in range(0, MAILS, FRAMES):
            victim.look(f"{address}/frames/{first}")
            assert len(victim.page.frames) > FRAMES
            assert not victim.has_suffered(), (first, victim.ran, victim.asked)
        for id in victim.ids[: len(ATTACKS) : 5]:
            victim.look(f"{address}/outbox/messages/{id}")
            assert not victim.has_suffered(), (id, victim.ran, victim.asked)
            assert victim.page.frames[1].url.endswith(f"/messages/{id}/html")
    assert sink.connections == 0


def test_clicks_in_hostile_mail_lead_nowhere(
    browser: Browser, shop: Shop, sink: Sink
) -> None:
    with reading(browser, shop, sink) as (victim, address):
        page = victim.page
        clickable = "a, area, button, input, summary, text"
        for id, attack in zip(victim.ids, ATTACKS, strict=False):
            if not any(f"<{tag}" in attack for tag in ("a ", "button", "svg><a")):
                continue
            victim.look(f"{address}/outbox/messages/{id}")
            here = page.url
            page.locator("iframe").scroll_into_view_if_needed()
            for one in page.frame_locator("iframe").locator(clickable).all():
                one.dispatch_event("click")
                if one.is_visible():
                    one.click(force=True, timeout=WAIT_MS)
                break
            page.locator("iframe").focus()
            for key in ("Tab", "Enter", "Tab", "Enter"):
                page.keyboard.press(key)
            page.wait_for_load_state()
            assert page.url == here
            assert not victim.has_suffered(), (attack, victim.ran, victim.asked)
    assert sink.connections == 0


def test_pages_show_hostile_mail_as_text_only(
    browser: Browser, shop: Shop, sink: Sink
) -> None:
    with reading(browser, shop, sink) as (victim, address):
        victim.look(f"{address}/outbox/messages")
        shown = 0
        while True:
            shown += victim.page.locator("tbody tr").count()
            older = victim.page.get_by_role("link", name="Older", exact=True)
            if not older.count():
                break
            victim.look(f"{address}{older.get_attribute('href')}")
        assert shown == MAILS
        for number, id in enumerate(victim.ids[: len(ATTACKS) : 5]):
            view = ("text", "headers")[number % 2]
            victim.look(f"{address}/outbox/messages/{id}?view={view}")
            assert not victim.has_suffered(), (id, victim.ran, victim.asked)
        assert EVALUATED not in victim.page.locator("#mail").inner_text()
    assert sink.connections == 0


def test_the_attacks_work_on_an_unprotected_page(
    browser: Browser, shop: Shop, sink: Sink
) -> None:
    with reading(browser, shop, sink) as (victim, address):
        page = victim.page
        page.goto(f"{address}/bare", wait_until="commit", timeout=WAIT_MS)
        eventually(lambda: victim.has_suffered() and sink.connections > 20)
        assert "a script" in victim.ran
        assert victim.asked


def test_elements_that_act_when_loaded_are_removed(shop: Shop, sink: Sink) -> None:
    for message in hostile_messages(sink.address, "/own", MAILS):
        html = sanitized_html(parse_message(message.content))
        assert html
        for name in ("link", "meta", "base", "iframe", "frame", "form"):
            assert not any(f"<{name}{end}" in html.lower() for end in " \t\n\r\f/>"), (
                html
            )
