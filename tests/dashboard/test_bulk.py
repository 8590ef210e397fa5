"""What is done to all messages that match a search, and not to one page of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.test import TestResponse

from flask_outbox import Message, signals
from flask_outbox.dashboard.views import bulk
from flask_outbox.outbox.records import AuditSearch, Search
from tests.browser import chromium, opened, serious_findings
from tests.dashboard.serving import served
from tests.dashboard.shop import Shop

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def keep(shop: Shop, count: int, **options: Any) -> None:
    """Put mail into the outbox that waits for an hour."""
    rows = [
        Message(f"Later {row}", [f"user{row}@example.org"], "Hello\n")
        for row in range(count)
    ]
    with shop.app.app_context():
        for one in rows:
            shop.mail.send(one, delay=3_600, **options)


def fields(page: str) -> dict[str, str]:
    """The hidden fields of the page's form."""
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page)
    return {name: unescape(value) for name, value in found}


def to_the_end(shop: Shop, page: str) -> tuple[TestResponse, int]:
    """Send the page's form, and each that follows; the last answer, and how many."""
    requests = 0
    while True:
        answer = shop.ask("/act/all", "POST", data=fields(page))
        requests += 1
        assert answer.status_code == 200, answer.text
        page = answer.text
        if 'id="go-on"' not in page:
            return answer, requests


def states(shop: Shop, **wanted: Any) -> Counter[str]:
    return Counter(one.state for one in shop.outbox.search(Search(**wanted)).messages)


def title(page: str) -> str:
    return str(re.findall(r"<h1>(.*?)</h1>", page)[0])


def test_all_that_match_are_changed_and_nothing_else(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "AT_ONCE", 4)
    monkeypatch.setattr(bulk, "REQUEST_SECONDS", 0.0)
    keep(shop, 10, tag="orders")
    keep(shop, 3, tag="news")
    asked = shop.page("/act/all?action=cancel&tag=orders&last=1h")
    assert title(asked) == "Cancel all 10 that match?"
    assert "Tag: <strong>orders</strong>" in asked
    assert "Stop the delivery before it begins" in asked
    keep(shop, 1, tag="orders")
    assert states(shop) == {"pending": 14}, "nothing is changed by asking"

    first = shop.ask("/act/all", "POST", data=fields(asked))
    assert title(first.text) == "4 messages cancelled so far"
    assert "4 of 10" in first.text
    last, requests = to_the_end(shop, first.text)

    assert title(last.text) == "10 messages cancelled"
    assert requests <= 3
    assert states(shop, tag="orders") == {"cancelled": 10, "pending": 1}
    assert states(shop, tag="news") == {"pending": 3}
    lines = shop.outbox.trail.find(AuditSearch(), 50).lines
    assert len({one.target for one in lines}) == 10
    assert {(one.act, one.note) for one in lines} == {
        ("cancel", "all that match: Tag orders, Time 1h")
    }


def test_what_is_sent_and_what_a_person_ended_is_not_retried(shop: Shop) -> None:
    keep(shop, 2)
    with shop.app.app_context():
        shop.mail.cancel(shop.outbox.list()[0].id)
    asked = shop.page("/act/all?action=retry")
    assert title(asked) == "There is nothing to retry"
    assert "Yes:" not in asked
    asked = shop.page("/act/all?action=retry&is=cancelled")
    assert title(asked) == "Retry all 1 that match?"
    told = len(shop.told(signals.message_retried))
    to_the_end(shop, asked)
    assert len(shop.told(signals.message_retried)) == told + 1
    assert title(shop.page("/act/all?action=release&is=sent")) == (
        "There is nothing to release"
    )


def test_refusals_are_counted_and_explained(shop: Shop) -> None:
    keep(shop, 3)
    with shop.app.app_context():
        for one in shop.outbox.list():
            shop.mail.cancel(one.id)
        shop.mail.suppress("user1@example.org")
    asked = shop.page("/act/all?action=retry&is=cancelled&q=user*")
    last, _ = to_the_end(shop, asked)
    assert title(last.text) == "2 messages due now"
    assert "1 message not" in last.text
    assert "its remaining recipients are suppressed" in re.sub(r"\s+", " ", last.text)
    lines = shop.outbox.trail.find(AuditSearch(), 50).lines
    assert {one.note for one in lines} >= {"all that match: Search, State cancelled"}
    assert not any("user" in one.note for one in lines)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("action=explode", "There is no action &#39;explode&#39; on all"),
        ("action=send-again", "no action"),
        ("action=cancel&since=soon", "From: soon is not a time"),
    ],
)
def test_what_means_nothing_is_refused(shop: Shop, query: str, words: str) -> None:
    keep(shop, 1)
    answer = shop.ask(f"/act/all?{query}")
    assert answer.status_code == 400
    assert words in answer.text
    form = dict(one.split("=") for one in query.split("&"))
    assert shop.post("/act/all", **form).status_code == 400
    assert states(shop) == {"pending": 1}


def test_a_form_that_was_tampered_with_changes_nothing_it_should_not(
    shop: Shop,
) -> None:
    keep(shop, 1)
    form = fields(shop.page("/act/all?action=cancel"))
    for asked_at in ("", "soon", "0001-01-01T00:00:00+14:00"):
        assert shop.post("/act/all", **{**form, "asked_at": asked_at}).status_code in (
            200,
            400,
        )
    forged = {**form, "csrf_token": "x.y"}
    assert shop.ask("/act/all", "POST", data=forged).status_code == 403
    assert states(shop) == {"pending": 1}
    odd = {"total": "-7", "done": "9" * 99, "refused": "one", "before": "'"}
    answer = shop.ask("/act/all", "POST", data={**form, **odd})
    assert title(answer.text) == "1 message cancelled"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.mark.parametrize(
    ("scheme", "width", "script"),
    [("light", 1_280, True), ("dark", 360, False)],
    ids=["light and wide", "dark, narrow and without JavaScript"],
)
def test_a_person_follows_it_to_its_end(
    shop: Shop,
    browser: Browser,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    width: int,
    script: bool,
) -> None:
    monkeypatch.setattr(bulk, "AT_ONCE", 2)
    monkeypatch.setattr(bulk, "REQUEST_SECONDS", 0.0)
    keep(shop, 5, tag="a" * 60)
    look = {
        "color_scheme": scheme,
        "viewport": {"width": width, "height": 740},
        "java_script_enabled": script,
    }
    with (
        served(shop.app) as address,
        opened(browser, f"{address}/messages?tag={'a' * 60}", **look) as page,
    ):
        page.get_by_text("All that match").click()
        check = (lambda: serious_findings(page)) if script else list
        assert check() == []
        page.get_by_role("button", name="Cancel all").click()
        page.get_by_role("heading", name="Cancel all 5 that match?").wait_for()
        assert check() == []
        if script:
            assert page.evaluate("document.documentElement.scrollWidth") == width
        page.get_by_role("button", name="Yes: cancel all 5").click()
        while not script and page.get_by_role("button", name="Go on").count():
            page.get_by_role("button", name="Go on").click()
        page.get_by_role("heading", name="5 messages cancelled", exact=True).wait_for()
        assert check() == []
    assert states(shop) == {"cancelled": 5}
