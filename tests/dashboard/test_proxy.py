"""The dashboard behind a proxy that asks for another host than the browser did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from flask_outbox import Message, State
from tests.browser import chromium, opened
from tests.dashboard.serving import served
from tests.dashboard.shop import Shop

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Chromium, as the system has it."""
    with chromium() as browser:
        yield browser


def test_mail_is_shown_and_changed_where_a_proxy_renames_the_host(
    shop: Shop, browser: Browser
) -> None:
    """As nginx does it, whose ``proxy_pass`` sends the address of the app as host."""
    app = shop.app.wsgi_app

    def proxy(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        return app({**environ, "HTTP_HOST": "127.0.0.1:8000"}, start)

    shop.app.wsgi_app = proxy  # type: ignore[method-assign, assignment]
    id = shop.keep(Message("Hello", ["ada@example.org"], html="<p>Brass kettles</p>"))
    with (
        served(shop.app) as address,
        opened(browser, f"{address}/messages/{id}") as page,
    ):
        page.frame_locator("iframe").get_by_text("Brass kettles").wait_for()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Yes: cancel").click()
        page.get_by_text("it will not be sent").first.wait_for()
    record = shop.mail.get(id)
    assert record is not None
    assert record.state is State.CANCELLED
