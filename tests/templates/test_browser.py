"""Mail from templates as its reader sees it, and as the standard library reads it."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flask_outbox import Message, State
from tests.browser import chromium, opened, serious_findings
from tests.dashboard.serving import served
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA
from tests.templates.stationery import NEWS, PNG, Stationery, said

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HTML = """<!doctype html>
<html><head>
<title>{% block subject %}Your order, {{ name }}{% endblock %}</title>
<style>h1 { color: rgb(1, 2, 3) }</style>
</head><body>
<h1>Thank you, {{ name }}!</h1>
<img id="logo" src="{{ mail_image('logo.png') }}" alt="">
<ul>{% for one in items %}<li>{{ one }}</li>{% endfor %}</ul>
<p>See <a href="https://shop.example.com/orders/7">your order</a>.</p>
</body></html>
"""
ITEMS = ["1 kettle <brass>", "2 cups & saucers", "Grüße 🐦"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, as the system has it."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def desk(make_site: MakeSite, tmp_path: Path) -> Stationery:
    """An app whose mail stays in its inbox, and the templates of an order."""
    site = make_site(MAIL_URL="inbox://", OUTBOX_DASHBOARD="local", DEBUG=True)
    desk = Stationery(site, tmp_path)
    desk.write("order.html", HTML)
    (desk.write("unused", "").parent / "logo.png").write_bytes(PNG)
    return desk


@pytest.mark.parametrize("render", ["now", "later"])
def test_html_and_text_say_the_same(
    desk: Stationery, browser: Browser, render: str
) -> None:
    message = desk.compose("order", render=render, name="Ada", items=ITEMS)
    receipt = desk.site.mail.send(message)
    desk.site.settled(receipt)
    content = desk.site.outbox.content(receipt.id)
    assert content is not None

    with (
        served(desk.site.app) as address,
        opened(browser, f"{address}/inbox/{receipt.id}") as page,
    ):
        frame = page.frame_locator("iframe")
        seen = frame.locator("body").inner_text().split()
        heading = frame.locator("h1")
        color = heading.evaluate("one => getComputedStyle(one).color")
        style = heading.get_attribute("style")
        shown = frame.locator("#logo").evaluate(
            "async one => { await one.decode(); return one.naturalWidth }"
        )
    expected = f"Thank you, Ada! {' '.join(ITEMS)} See your order.".split()
    assert seen == expected
    assert (color, style, shown) == ("rgb(1, 2, 3)", "color: rgb(1, 2, 3);", 1)
    text = said(content, "plain")
    link = "[your order](https://shop.example.com/orders/7)"
    assert text.replace(link, "your order").replace("*", "").split() == expected
    source = said(content, "html")
    assert "<li>1 kettle &lt;brass&gt;</li><li>2 cups &amp; saucers</li>" in source


def test_the_components_are_readable_by_day_and_by_night(
    desk: Stationery, browser: Browser
) -> None:
    desk.write_example()
    html = desk.compose("news", **NEWS).html or ""
    desk.site.app.add_url_rule("/letter", "letter", lambda: html)
    phone = {"viewport": {"width": 390, "height": 800}, "color_scheme": "dark"}
    with served(desk.site.app) as address:
        letter = f"{address.removesuffix('/outbox')}/letter"
        for options, card_color, widest in (
            ({}, "rgb(255, 255, 255)", 1280),
            (phone, "rgb(31, 41, 55)", 390),
        ):
            with opened(browser, letter, **options) as page:
                assert serious_findings(page) == []
                card = page.locator(".mail-card")
                color = card.evaluate("e => getComputedStyle(e).backgroundColor")
                width = page.evaluate("document.documentElement.scrollWidth")
            assert color == card_color
            assert width <= widest


def test_the_dashboard_shows_a_message_that_is_not_rendered(
    desk: Stationery,
) -> None:
    message = desk.compose(
        "order", render="later", locale=None, name="Ada", items=ITEMS
    )
    receipt = desk.site.mail.send(message, delay=3600.0)
    client = desk.site.app.test_client()
    page = client.get(f"/outbox/messages/{receipt.id}").get_data(as_text=True)
    assert "It is not rendered yet" in page
    assert "<code>order</code>" in page
    assert "1 kettle &lt;brass&gt;" in page
    assert client.get(f"/outbox/messages/{receipt.id}/source").status_code == 404


def test_a_template_error_is_on_the_mails_page(desk: Stationery) -> None:
    receipt = desk.site.mail.send(desk.compose("order", render="later", name="Ada"))
    assert desk.site.settled(receipt).state is State.FAILED
    client = desk.site.app.test_client()
    page = html.unescape(
        client.get(f"/outbox/messages/{receipt.id}").get_data(as_text=True)
    )
    assert "it could not be rendered" in page
    assert "mail/order.html, line 8: 'items' is undefined" in page
    assert '"name": "Ada"' in page


def test_a_preview_renders_a_message_at_once(desk: Stationery) -> None:
    desk.site.mail.preview("order")(_order)
    client = desk.site.app.test_client()
    page = client.get("/outbox/previews/order/html").get_data(as_text=True)
    assert "Thank you, Ada!" in page


def _order() -> Message:
    return Message.from_template(
        "order", [ADA], render="later", name="Ada", items=ITEMS
    )
