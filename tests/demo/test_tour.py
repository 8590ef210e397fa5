"""The tour in a real browser: a lesson on a mail that is really sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flask_outbox.demo.app import running
from flask_outbox.demo.server import Behaviour
from flask_outbox.demo.tour.text import QUIZ, SNAPSHOT, STEPS, TRANSCRIPT
from tests.browser import expect, opened, serious_findings
from tests.demo.running import RunningDemo
from tests.demo.test_page import NARROW, TOO_FAINT
from tests.waiting import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

LAST = len(STEPS)


@pytest.fixture(scope="module")
def lesson(shared_demo: RunningDemo) -> str:
    """The path of a lesson whose mail is through."""
    path = shared_demo.ask("POST", "/tour").headers["Location"]

    def over() -> bool:
        return "data-unfinished" not in shared_demo.ask("GET", path).text

    eventually(over)
    return path


@pytest.fixture
def tour(browser: Browser, shared_demo: RunningDemo, lesson: str) -> Iterator[Page]:
    """The page of that lesson."""
    with opened(browser, shared_demo.address + lesson[1:]) as page:
        yield page


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def title(page: Page) -> Locator:
    return page.locator("#step-title")


def wait_for_step(page: Page, number: int) -> None:
    title(page).filter(has_text=f"Step {number} of {LAST}:").wait_for()


def lit(page: Page, selector: str, light: str = "now") -> list[str]:
    """The texts there that are lit so."""
    return page.locator(f'{selector}[data-light="{light}"]').all_inner_texts()


def visible_rows(page: Page) -> Locator:
    return page.locator("#steps tr:visible")


def what_happened(page: Page, step: int) -> str:
    return page.locator(f"#step-{step} .what").inner_text()


def test_start_sends_a_mail_and_the_steps_follow_it(
    browser: Browser, shared_demo: RunningDemo
) -> None:
    with opened(browser, f"{shared_demo.address}tour") as page:
        press(page, "Start")
        page.wait_for_url("**/tour/*")
        expect(title(page)).to_be_focused()
        wait_for_step(page, 1)
        sent = shared_demo.now()["messages"][0]
        assert page.url.startswith(f"{shared_demo.address}tour/{sent['id']}")
        page.locator(f"#step-{LAST}[data-happened]").wait_for(state="attached")
        for step in range(2, LAST + 1):
            press(page, "Next")
            wait_for_step(page, step)
            expect(visible_rows(page)).to_have_count(step)
        assert passed(page) == sorted(passed(page))
        history = shared_demo.history(f"/messages/{sent['id']}")
        arrival = shared_demo.now()["arrived"][0]
        assert_told_on(page, history, arrival)


def passed(page: Page) -> list[int]:
    """How many ms after the call each step was."""
    times = page.locator("#steps .after").all_inner_texts()
    return [int(time.removeprefix("+").removesuffix(" ms")) for time in times]


def assert_told_on(page: Page, history: Any, arrival: Any) -> None:
    """Each row says what happened to this mail, as its history has it."""
    request = history["rows"][0]["what"].removesuffix(" enqueued the message")
    assert what_happened(page, 1) == f"{request} came in."
    assert history["id"] in what_happened(page, 2)
    response = next(row for row in history["rows"] if "response went" in row["what"])
    handover = re.search(r"enqueueing took ([\d.]+ ms) of that", response["what"])
    assert handover
    assert handover[1] in what_happened(page, 2)
    assert "“Email sending started!” (status 202)" in what_happened(page, 2)
    others = re.search(r"answered (\d+) other requests", what_happened(page, 3))
    assert others
    assert int(others[1]) >= 1
    sent = next(row for row in history["rows"] if "Email sent!" in row["output"])
    assert what_happened(page, 4) == f"{sent['what']}. Output: {sent['output']}."
    assert arrival["known_as"] == history["rfc_message_id"]
    assert arrival["known_as"] in what_happened(page, 5)
    source = page.locator("#step-5 a").get_attribute("href")
    assert source == f"/arrived/{arrival['number']}"
    assert "answered the next GET /ping after" in what_happened(page, 6)


def test_next_and_back_light_the_flow_the_code_and_the_variables(tour: Page) -> None:
    wait_for_step(tour, 1)
    assert lit(tour, ".flow li")[0].startswith("The user triggers the sending")
    press(tour, "Next")
    wait_for_step(tour, 2)
    assert any("mail.send(" in line for line in lit(tour, ".code .line"))
    assert lit(tour, ".variables td") == ["started", "running"]
    press(tour, "Next")
    wait_for_step(tour, 3)
    assert len(lit(tour, ".flow li")) == 2
    assert len(lit(tour, ".flow li", "done")) == 2
    assert any("transport.deliver(" in line for line in lit(tour, ".code .line"))
    press(tour, "Back")
    wait_for_step(tour, 2)
    expect(visible_rows(tour)).to_have_count(2)
    press(tour, f"Step {LAST}")
    wait_for_step(tour, LAST)
    assert lit(tour, ".variables td") == ["finished", "running"]


def test_play_goes_from_step_to_step_until_the_end(
    browser: Browser, shared_demo: RunningDemo, lesson: str
) -> None:
    with opened(browser, f"{shared_demo.address}tour") as page:
        page.clock.install()
        page.goto(shared_demo.address + lesson[1:])
        press(page, "Play")
        for step in range(2, LAST + 1):
            page.clock.run_for(2_500)
            wait_for_step(page, step)
        page.get_by_role("button", name="Play", exact=True).wait_for()
        press(page, "Play")
        wait_for_step(page, 1)
        press(page, "Pause")
        page.clock.run_for(10_000)
        wait_for_step(page, 1)


def test_a_step_that_has_not_happened_cannot_be_selected(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_outbox.demo.tour.run.TAKES_SECONDS", 600)
    with running(0, tmp_path) as demo, opened(browser, f"{demo.address}tour") as page:
        press(page, "Start")
        page.locator("#step-3[data-happened]").wait_for(state="attached")
        press(page, "Step 3")
        wait_for_step(page, 3)
        page.locator("#next").click(force=True)
        page.locator("#pips [data-step='5']").click(force=True)
        wait_for_step(page, 3)
        assert page.locator("#next").get_attribute("aria-disabled") == "true"
        demo.server.behave(Behaviour.DOWN)
        page.locator("#step-5[data-happened]").wait_for(state="attached")
        press(page, "Next")
        wait_for_step(page, 4)
        assert "The connection was lost after the final dot" in what_happened(page, 4)
        press(page, "Next")
        wait_for_step(page, 5)
        assert "mail.get(id).state is “unknown”" in what_happened(page, 5)


def test_it_works_by_keyboard_alone(browser: Browser, shared_demo: RunningDemo) -> None:
    with opened(browser, f"{shared_demo.address}tour") as page:
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Start"
        page.keyboard.press("Enter")
        page.wait_for_url("**/tour/*")
        page.locator(f"#step-{LAST}[data-happened]").wait_for(state="attached")
        expect(title(page)).to_be_focused()
        page.keyboard.press("ArrowRight")
        wait_for_step(page, 2)
        page.keyboard.press("End")
        wait_for_step(page, LAST)
        page.keyboard.press("ArrowLeft")
        wait_for_step(page, LAST - 1)
        page.keyboard.press("Home")
        wait_for_step(page, 1)
        page.locator("input[name=response]").first.focus()
        page.keyboard.press("Space")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        verdict(page, "response").filter(has_text="Right.").wait_for()


def verdict(page: Page, question: str) -> Locator:
    return page.locator(f'[role="status"][data-live="verdict-{question}"]')


@pytest.mark.parametrize("question", QUIZ, ids=lambda question: question.name)
def test_the_quiz_checks_and_explains_each_answer(tour: Page, question: Any) -> None:
    assert verdict(tour, question.name).inner_text() == ""
    for choice in question.choices:
        tour.locator(f"input[name={question.name}][value='{choice.value}']").check()
        press(tour, "Check")
        says = "Right." if choice.value == question.right else "Wrong."
        verdict(tour, question.name).filter(
            has_text=f"{says} {choice.verdict}"
        ).wait_for()
    tour.locator("fieldset", has_text=question.text).get_by_text("Hint").click()
    tour.get_by_text(question.hint).wait_for()


def test_a_key_moment_links_to_its_step(tour: Page) -> None:
    tour.get_by_text("What happens if the sending takes long?").click()
    tour.get_by_role("link", name="step 3").last.click()
    wait_for_step(tour, 3)
    expect(title(tour)).to_be_focused()


def test_the_snapshot_can_be_copied(
    browser: Browser, shared_demo: RunningDemo, lesson: str
) -> None:
    may = ["clipboard-read", "clipboard-write"]
    address = shared_demo.address + lesson[1:]
    with opened(browser, address, permissions=may) as page:
        press(page, "Copy")
        page.get_by_text("Copied.").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == SNAPSHOT


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", NARROW["width"]), ("dark", 1280)]
)
def test_it_is_accessible_and_fits_the_screen(
    tour: Page, scheme: Any, width: int
) -> None:
    tour.emulate_media(color_scheme=scheme)
    tour.set_viewport_size({"width": width, "height": 740})
    for step in (1, 3, LAST):
        press(tour, "Next" if width == NARROW["width"] else f"Step {step}")
        assert tour.evaluate("document.documentElement.scrollWidth") == width
        assert tour.evaluate(TOO_FAINT) == []
        assert serious_findings(tour) == []


def test_it_can_be_read_without_javascript(
    browser: Browser, shared_demo: RunningDemo
) -> None:
    address = f"{shared_demo.address}tour"
    with opened(browser, address, java_script_enabled=False) as page:
        for step in STEPS:
            page.get_by_text(step.crash.with_thread).wait_for()
        for paragraph in TRANSCRIPT:
            page.get_by_text(paragraph).wait_for()
        press(page, "Start")
        page.wait_for_url("**/tour/*")

        eventually(lambda: is_over(page))
        expect(visible_rows(page)).to_have_count(LAST)
        assert "answered the next GET /ping" in what_happened(page, LAST)
        page.locator("input[name=done][value='3']").check()
        page.locator("input[name=without][value=wait]").check()
        press(page, "Check")
        verdict(page, "done").filter(has_text="Wrong.").wait_for()
        verdict(page, "without").filter(has_text="Right.").wait_for()
        assert verdict(page, "response").inner_text() == ""
        names = {one.inner_text() for one in page.get_by_role("button").all()}
        assert names == {"Start again", "Check", "Crash here"}
        with page.expect_navigation():
            page.get_by_role("button", name="at step 2").click()
        eventually(lambda: is_over(page))
        measured(page, 2, "thread").filter(has_text="never arrived").wait_for()
        measured(page, 2, "outbox").filter(has_text="arrived once").wait_for()


def is_over(page: Page) -> bool:
    """Whether nothing more happens; else the page is loaded again, as it says."""
    link = page.get_by_role("link", name="Load the page again")
    if not link.count():
        return True
    with page.expect_navigation():
        link.click()
    return False


def measured(page: Page, step: int, way: str) -> Locator:
    return page.locator(f'[role="status"][data-live="crash-{step}-{way}"]')


def test_a_button_crashes_an_app(tour: Page) -> None:
    tour.get_by_role("button", name="at step 4").click()
    measured(tour, 4, "thread").filter(has_text="being crashed").wait_for()
    told = measured(tour, 4, "outbox")
    told.filter(has_text="Tried").wait_for()
    assert "the mail arrived twice, under the same Message-ID" in told.inner_text()
    assert "“sent” is on record" in told.inner_text()
    told = measured(tour, 4, "thread")
    assert "the user got “Email sending started!”" in told.inner_text()
    assert "the mail arrived once; nothing is on record" in told.inner_text()
    assert serious_findings(tour) == []
