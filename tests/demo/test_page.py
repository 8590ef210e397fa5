"""The page in a real browser: what a person presses, and what they then see."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser import WAIT_MS, expect, opened, serious_findings
from tests.demo.running import RunningDemo

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

NARROW = {"width": 360, "height": 740}


@pytest.fixture
def page(browser: Browser, demo: RunningDemo) -> Iterator[Page]:
    """The demo's page."""
    with opened(browser, demo.address) as page:
        yield page


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=re.compile(f"^{name}")).click()


def rows(page: Page) -> Locator:
    return page.locator("#rows tr")


def wait_for_text(element: Locator, text: str) -> None:
    element.filter(has_text=text).first.wait_for()


def test_send_shows_the_history_and_the_arrival(page: Page, demo: RunningDemo) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Send"
    page.keyboard.press("Enter")
    answer = page.locator("#response")
    expect(answer).to_contain_text("Email sending started!")
    expect(answer).to_contain_text(
        re.compile(r"in your browser[\d.]+ ms.*in the app[\d.]+ ms")
    )
    sent = newest(demo)
    wait_for_text(rows(page), f"id {sent['id']}")
    wait_for_text(rows(page), "The response went out")
    wait_for_text(rows(page), "Email sent! 250")
    history = demo.history(f"/messages/{sent['id']}")
    wait_for_text(page.locator("#arrived"), history["rfc_message_id"])
    wait_for_text(page.locator("#state"), "sent")
    shown = [cells(row) for row in rows(page).all()]
    assert shown == [
        [f"{row['step']}{row['after']}"]
        + [row[column] for column in ("what", "background", "request", "output")]
        for row in history["rows"]
    ]
    page.locator('#way [data-stage="end"][data-light="done"]').wait_for()


def newest(demo: RunningDemo) -> Any:
    return demo.now()["messages"][0]


def cells(row: Locator) -> list[str]:
    return [cell.text_content() or "" for cell in row.locator("td").all()]


def test_the_page_shows_the_app_answering_while_the_server_is_slow(
    page: Page, demo: RunningDemo
) -> None:
    press(page, "slow")
    page.locator('button[value="slow"][aria-pressed="true"]').wait_for()
    demo.behave("slow", seconds=600)
    press(page, "Send")
    page.locator('#way [data-stage="server"][data-light="now"]').wait_for()
    record = page.locator("#pulse-record")
    before = beats(record.inner_text())
    page.wait_for_function(
        "before => parseInt(document.getElementById('pulse-record').textContent"
        ".match(/(\\d+) times/)[1]) >= before + 3",
        arg=before,
    )
    assert page.locator("#state").inner_text() == "leased"
    assert re.fullmatch(r"[\d.]+ ms", page.locator("#pulse-ms").inner_text())
    assert newest(demo)["state"] == "leased"


def beats(text: str) -> int:
    found = re.search(r"(\d+) times", text)
    return int(found[1]) if found else 0


def test_a_button_retries_a_failed_mail(
    page: Page,
) -> None:
    press(page, "refusing")
    page.locator('button[value="refusing"][aria-pressed="true"]').wait_for()
    press(page, "Send")
    wait_for_text(rows(page), "550")
    wait_for_text(page.locator("#state"), "failed")
    press(page, "well")
    page.locator('button[value="well"][aria-pressed="true"]').wait_for()
    press(page, "Try it again")
    wait_for_text(page.locator("#state"), "sent")
    wait_for_text(rows(page), "A person retried it")


def test_while_the_server_is_down_the_page_shows_the_pause(page: Page) -> None:
    press(page, "down")
    page.locator('button[value="down"][aria-pressed="true"]').wait_for()
    press(page, "Send")
    wait_for_text(page.locator("#paused"), "The lane is paused: ")
    page.locator('#way [data-stage="server"][data-light="trouble"]').wait_for()
    press(page, "well")
    wait_for_text(page.locator("#state"), "sent")
    page.locator("#paused").wait_for(state="hidden")


def test_an_older_mails_history_can_be_selected(page: Page, demo: RunningDemo) -> None:
    first = demo.history_when(demo.send(), state="sent")
    second = demo.history_when(demo.send(), state="sent")
    wait_for_text(page.locator("#history-of"), second["subject"])
    press(page, f"{first['subject']} sent")
    wait_for_text(page.locator("#history-of"), first["subject"])
    expect(rows(page).first).to_contain_text(first["id"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_narrow_window(page: Page, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    press(page, "Send")
    wait_for_text(rows(page), "Email sent! 250")
    wait_for_text(page.locator("#arrived"), "@example.com")
    assert page.evaluate("document.documentElement.scrollWidth") == NARROW["width"]
    assert page.evaluate(TOO_FAINT) == []
    assert serious_findings(page) == []


TOO_FAINT = """() => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const luminance = (color) => {
    const [r, g, b] = channels(color).slice(0, 3).map((c) => c / 255)
      .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const color = getComputedStyle(one).backgroundColor;
      if ((channels(color)[3] ?? 1) > 0) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = [...document.querySelectorAll("body *")].filter((one) =>
    one.checkVisibility()
    && [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
  return texts.filter((one) => {
    const front = luminance(getComputedStyle(one).color);
    const back = luminance(behind(one));
    return (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05) < 4.5;
  }).map((one) => one.textContent.trim());
}"""
"""The texts on the page with less contrast than WCAG's AA asks for."""


def test_the_page_shows_that_the_demo_has_ended(
    browser: Browser, tmp_path: Path
) -> None:
    page = browser.new_page()
    with RunningDemo(tmp_path / "log") as demo:
        page.goto(demo.address)
        page.locator("#pulse-ms").filter(has_text="ms").wait_for(timeout=WAIT_MS)
        assert demo.end() == 0
    alert = page.get_by_role("alert")
    alert.filter(has_text="has it ended?").wait_for(timeout=WAIT_MS)
    page.close()
