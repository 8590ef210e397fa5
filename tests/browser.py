"""Chromium, as the system has it, and pages on which nothing goes wrong unseen."""

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

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MS = 20_000

AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser for the ``with`` block; where there is none, the test is skipped."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
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
    """Skip, or fail where ``OUTBOX_TEST_REQUIRE`` names chromium."""
    if "chromium" in re.split(r"[\s,]+", os.environ.get("OUTBOX_TEST_REQUIRE", "")):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@contextmanager
def opened(browser: Browser, address: str, **options: Any) -> Iterator[Page]:
    """A page there. Nothing may go wrong on it unseen, nor may it ask another host."""
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


def serious_findings(page: Page) -> list[str]:
    """What axe-core has to say against the page as it is now."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {iframes: false})")  # a mail is not ours
    return [
        f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
