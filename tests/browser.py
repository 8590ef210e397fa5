"""Chromium, and pages on which every error fails the test."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never
from urllib.parse import urlsplit

import pytest

from tests.waiting import WAIT_SECONDS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page
    from playwright.sync_api._generated import LocatorAssertions

SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MS = 1_000 * WAIT_SECONDS

PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser")
"""In the order of preference: the first has no windows, and does half as much."""

AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser for the ``with`` block; the test is skipped if there is none."""
    path = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if path is None:
        _absent("there is no chromium on the PATH")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _absent("playwright is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=SWITCHES)
        yield browser
        browser.close()


def _absent(reason: str) -> Never:
    """Skip, or fail if ``OUTBOX_TEST_REQUIRE`` names chromium."""
    if "chromium" in re.split(r"[\s,]+", os.environ.get("OUTBOX_TEST_REQUIRE", "")):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@contextmanager
def opened(browser: Browser, address: str, **options: Any) -> Iterator[Page]:
    """A page at this URL. Errors and requests to other hosts fail the test."""
    complaints: list[str] = []
    hosts: set[str] = set()
    context = browser.new_context(reduced_motion="reduce", **options)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.goto(address)
    yield page
    context.close()
    assert complaints == [], complaints
    assert hosts == {urlsplit(address).netloc}


def expect(found: Locator) -> LocatorAssertions:
    """Playwright's assertions on what was found: each waits until it holds."""
    from playwright.sync_api import expect as expected

    expected.set_options(timeout=WAIT_MS)
    return expected(found)


def serious_findings(page: Page, *rules: str) -> list[str]:
    """axe-core's serious findings on the current page, by all its rules or by these."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    # Mail content is not ours.
    found = page.evaluate(
        "rules => axe.run(document, {iframes: false, resultTypes: ['violations'],"
        " runOnly: rules.length ? rules : undefined})",
        list(rules),
    )
    return [
        f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
