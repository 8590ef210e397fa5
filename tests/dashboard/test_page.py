"""The dashboard in a real browser: what a person sees and does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from flask_outbox import Message, signals
from flask_outbox.counters import Counters
from flask_outbox.history import describe
from flask_outbox.outbox import stats_row
from flask_outbox.outbox.alerts import CALM_SECONDS, TELLING_SECONDS
from tests.browser import chromium, expect, opened, serious_findings
from tests.dashboard.conftest import OpenShop
from tests.dashboard.serving import served
from tests.dashboard.shop import Shop
from tests.servers import Behaviour, JournalSmtp
from tests.servers.webhook_receiver import SECRET

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

NARROW = {"width": 360, "height": 740}
WIDE = {"width": 1280, "height": 720}

Visit = Callable[..., "Page"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, as the system has it."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def shop(open_shop: OpenShop) -> Shop:
    """A shop whose own courier works."""
    shop = open_shop(OUTBOX_ENGINE="thread", MAIL_TRANSPORTS={"bulk": "inbox://"})
    shop.make_ready()
    return shop


@pytest.fixture
def visit(browser: Browser, shop: Shop) -> Iterator[Visit]:
    """Opens pages of the dashboard, each in a browser profile of its own."""
    with ExitStack() as open_pages:
        address = open_pages.enter_context(served(shop.app))

        def visit(path: str, **options: Any) -> Page:
            page = opened(browser, f"{address}{path}", **options)
            return open_pages.enter_context(page)

        yield visit


def hello(subject: str = "Hello", **more: Any) -> Message:
    return Message(subject, ["ada@example.org"], "Hello Ada\n", **more)


def sent(shop: Shop, message: Message) -> str:
    """Send a message and wait until it has arrived; its id."""
    before = len(shop.told(signals.message_sent))
    id = shop.keep(message)
    shop.wait_for(signals.message_sent, before + 1)
    return id


def wait_for_text(element: Locator, text: str) -> None:
    element.filter(has_text=text).first.wait_for()


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def rows(page: Page) -> Locator:
    return page.locator("tbody tr")


# ---------------------------------------------------------------------------- it lives


def test_a_new_mail_appears_and_its_history_grows(
    shop: Shop, visit: Visit, server: JournalSmtp
) -> None:
    page = visit("/messages")
    wait_for_text(page.locator("#follow"), "updates itself")
    server.behaviour = Behaviour(hang=True)
    id = shop.keep(hello("Your order"))
    page.get_by_role("link", name="Your order").wait_for()
    page.get_by_role("link", name="Your order").click()
    page.locator('#stage-server[data-light="now"]').wait_for()
    steps = page.locator(".history tbody tr")
    expect(steps).to_have_count(2)
    page.evaluate("window.sameDocument = true")
    steps.first.evaluate("row => row.marked = true")
    server.behaviour = Behaviour()
    wait_for_text(steps, "Email sent!")
    page.locator('#stage-end[data-light="done"]').wait_for()
    assert page.evaluate("window.sameDocument")
    assert steps.first.evaluate("row => row.marked"), "the old rows stayed in place"
    record = shop.outbox.get(id)
    assert [cells(row) for row in steps.all()] == [
        [step.what, step.request, step.background, mail, step.output]
        for step, mail in zip(
            describe(record), ("leased", "leased", "sent"), strict=True
        )
    ]


def cells(row: Locator) -> list[str]:
    return [(cell.text_content() or "").strip() for cell in row.locator("td").all()]


def test_without_a_spare_thread_the_page_polls(shop: Shop, browser: Browser) -> None:
    with (
        served(shop.app, threaded=False) as address,
        opened(browser, f"{address}/messages") as page,
    ):
        wait_for_text(page.locator("#follow"), "updates every 2 seconds")
        shop.keep(hello("Your order"))
        page.get_by_role("link", name="Your order").wait_for()


def test_one_process_has_one_stream(visit: Visit) -> None:
    wait_for_text(visit("/messages").locator("#follow"), "updates itself")
    wait_for_text(visit("/messages").locator("#follow"), "updates every 2 seconds")


def test_ticks_stay_while_the_list_changes(shop: Shop, visit: Visit) -> None:
    sent(shop, hello("First"))
    page = visit("/messages")
    page.get_by_label("Choose First").check()
    wait_for_text(page.locator("#chosen"), "1 chosen")
    sent(shop, hello("Second"))
    page.get_by_role("link", name="Second").wait_for()
    assert page.get_by_label("Choose First").is_checked()
    assert not page.get_by_label("Choose Second").is_checked()


# ------------------------------------------------------------------- what a person does


def test_a_failed_mail_is_retried(
    shop: Shop, visit: Visit, server: JournalSmtp
) -> None:
    server.behaviour = Behaviour(at_rcpt="550 5.7.1 not today")
    id = shop.keep(hello())
    shop.wait_for(signals.message_failed)
    server.behaviour = Behaviour()
    page = visit(f"/messages/{id}")
    press(page, "Retry")
    wait_for_text(page.locator("h1"), "Retry 1 message?")
    press(page, "Yes: retry")
    wait_for_text(page.locator(".history"), "A person retried it")
    wait_for_text(page.locator(".history"), "Email sent!")
    wait_for_text(page.locator(".status"), "sent")


def test_many_are_cancelled_at_once(shop: Shop, visit: Visit) -> None:
    for number in range(5):
        shop.keep(hello(f"Later {number}"), delay=3_600)
    sent(shop, hello("Already gone"))
    page = visit("/messages")
    page.get_by_label("Choose all on this page").check()
    page.get_by_label("Choose Later 0").uncheck()
    wait_for_text(page.locator("#chosen"), "5 chosen")
    press(page, "Cancel")
    wait_for_text(page.locator("h1"), "Cancel 4 messages?")
    wait_for_text(page.locator("main"), "1 message stays as it is")
    press(page, "Yes: cancel")
    wait_for_text(page.locator("h1"), "4 messages cancelled")
    states = {one.subject: one.state for one in shop.outbox.list()}
    assert states.pop("Already gone") == "sent"
    assert states.pop("Later 0") == "pending"
    assert set(states.values()) == {"cancelled"}


def test_an_action_that_comes_too_late_says_so(shop: Shop, visit: Visit) -> None:
    ids = [shop.keep(hello(f"Later {number}"), delay=3_600) for number in range(2)]
    page = visit(f"/act?action=cancel&id={ids[0]}&id={ids[1]}")
    with shop.app.app_context():
        shop.mail.cancel(ids[0])
    press(page, "Yes: cancel")
    wait_for_text(page.locator("h1"), "1 message cancelled")
    wait_for_text(page.get_by_role("alert"), "there is nothing to cancel")


def test_it_works_by_keyboard_alone(shop: Shop, visit: Visit) -> None:
    shop.keep(hello("Later"), delay=3_600)
    page = visit("/messages")
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    page.keyboard.press("Enter")
    tab_to(page, "Choose Later")
    page.keyboard.press("Space")
    wait_for_text(page.locator("#chosen"), "1 chosen")
    tab_to(page, "Cancel", key="Shift+Tab")
    page.keyboard.press("Enter")
    wait_for_text(page.locator("h1"), "Cancel 1 message?")
    wait_for_text(page.locator(":focus"), "No, go back")
    page.keyboard.press("Shift+Tab")
    assert focused(page) == "Yes: cancel"
    page.keyboard.press("Enter")
    wait_for_text(page.locator(".status"), "cancelled")


def focused(page: Page) -> str:
    found: str = page.evaluate(
        "document.activeElement.ariaLabel || document.activeElement.textContent.trim()"
    )
    return found


def tab_to(page: Page, name: str, key: str = "Tab") -> None:
    for _ in range(40):
        page.keyboard.press(key)
        if focused(page) == name:
            return
    raise AssertionError(f"{name!r} cannot be reached")


def test_it_works_without_javascript(shop: Shop, visit: Visit) -> None:
    shop.keep(hello("Later"), delay=3_600)
    sent(shop, hello("Another"))
    page = visit("/messages", java_script_enabled=False)
    page.get_by_label("Search").fill("later")
    press(page, "Search")
    expect(rows(page)).to_have_count(1)
    page.get_by_label("Choose Later").check()
    press(page, "Cancel")
    press(page, "Yes: cancel")
    wait_for_text(page.locator(".status"), "cancelled")


def test_a_lane_is_paused_and_resumed(shop: Shop, visit: Visit) -> None:
    page = visit("/lanes")
    page.get_by_label("Why").first.fill("the holidays")
    press(page, "Pause default")
    wait_for_text(page.locator("#lane-default"), "by a person: the holidays")
    press(page, "Resume default")
    wait_for_text(page.locator("#lane-default"), "open")


def test_a_page_of_another_site_cannot_change_anything(
    shop: Shop, visit: Visit, browser: Browser
) -> None:
    id = shop.keep(hello("Later"), delay=3_600)
    page = visit("/messages")
    fields = f'<input name=id value={id}><input name=action value="cancel">'
    target = page.url.replace("/messages", "/act")
    page.context.route(
        "http://evil.example/",
        lambda route: route.fulfill(
            content_type="text/html",
            body=f'<form method=post action="{target}">{fields}<button>Win</button>',
        ),
    )
    elsewhere = page.context.new_page()
    elsewhere.goto("http://evil.example/")
    elsewhere.get_by_role("button").click()
    wait_for_text(elsewhere.locator("main"), "This request came from another site")
    assert shop.outbox.get(id).state == "pending"


# ------------------------------------------------------------------------ how it looks


def test_an_html_mail_is_shown_in_its_frame(shop: Shop, visit: Visit) -> None:
    id = sent(shop, hello(html="<h1>Hello <a href='/outbox/lanes'>Ada</a></h1>"))
    page = visit(f"/messages/{id}")
    frame = page.frame_locator("iframe")
    wait_for_text(frame.get_by_role("heading"), "Hello Ada")
    page.get_by_role("link", name="Text").click()
    wait_for_text(page.get_by_label("The mail as text"), "Hello Ada")


@pytest.mark.parametrize(
    ("scheme", "viewport"),
    [("light", WIDE), ("dark", NARROW)],
    ids=["light and wide", "dark and narrow"],
)
def test_an_alert_comes_and_goes_on_the_overview(
    open_shop: OpenShop, browser: Browser, scheme: str, viewport: dict[str, int]
) -> None:
    shop = open_shop(OUTBOX_ALERTS=True)
    outbox = shop.outbox
    clock, ahead = outbox.clock, [0.0]
    outbox.clock = lambda: clock() + ahead[0]
    outbox.pause_lane("default", clock() + 400, "mail.test is on fire " + "x" * 90)
    with served(shop.app) as address:
        options = {"color_scheme": scheme, "viewport": viewport}
        with opened(browser, f"{address}/", **options) as page:
            notice = page.get_by_role("region", name="1 alert")
            assert not notice.is_visible()
            ahead[0] = 301
            outbox.look_for_alerts()
            wait_for_text(notice, "The lane default has been down for more than 5 min.")
            expect(notice).to_contain_text("mail.test is on fire")
            expect(page.locator("#lane-default")).to_contain_text("began 5 min")
            assert serious_findings(page) == []
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width == viewport["width"]
            outbox.resume_lane("default")
            for seconds in (0, CALM_SECONDS, TELLING_SECONDS):
                ahead[0] += seconds
                for news in outbox.look_for_alerts():
                    outbox.note_told(news)
            notice.wait_for(state="detached")


def test_a_plot_says_its_values(shop: Shop, visit: Visit) -> None:
    tally = Counters()
    tally.ended.update(sent=1_234, failed=2)
    tally.waits.add(0.2)
    minute = int(shop.outbox.clock()) // 60 * 60 - 600
    shop.outbox.write_stats([stats_row(minute, "", "default", tally)])
    page = visit("/", viewport=NARROW, timezone_id="Asia/Tokyo")
    sent = page.locator(
        "figure", has=page.get_by_role("heading", name="Sent", exact=True)
    )
    sent.locator("rect").hover()
    there = datetime.fromtimestamp(minute, ZoneInfo("Asia/Tokyo"))
    expect(sent.locator(".reading")).to_have_text(f"{there:%a %H:%M} GMT+9: 1,234 sent")
    page.get_by_text("The plots as a table").click()
    row = page.locator("#stats-table tbody tr")
    expect(row.locator('[data-heading="Sent"]')).to_have_text("1,234")
    expect(row.locator('[data-heading="Half waited"]')).to_have_text("within 250.0 ms")
    assert serious_findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == NARROW["width"]


def test_times_are_those_of_the_viewer(shop: Shop, visit: Visit) -> None:
    id = shop.keep(hello("Later"), delay=3_600)
    at = shop.outbox.get(id).enqueued_at
    page = visit("/messages", timezone_id="Asia/Tokyo")
    page.clock.set_fixed_time(at + timedelta(hours=2))  # the browser's is wrong
    page.reload()
    shown = page.locator("tbody time")
    expect(shown).to_have_text(re.compile(r"^(now|\d+ sec\. ago)$"))
    there = at.astimezone(ZoneInfo("Asia/Tokyo"))
    exactly = f"{there:%Y-%m-%d %H:%M:%S} GMT+9"
    expect(shown).to_have_attribute("title", f"{exactly}, Asia/Tokyo")
    expect(page.get_by_role("contentinfo")).to_contain_text(
        "Times are in Asia/Tokyo (GMT+9)."
    )
    page.get_by_role("link", name="Later").click()
    expect(page.locator("dd time")).to_have_text(exactly)
    assert serious_findings(page) == []


def test_without_javascript_times_are_in_utc(shop: Shop, visit: Visit) -> None:
    at = shop.outbox.get(shop.keep(hello(), delay=3_600)).enqueued_at
    page = visit("/messages", java_script_enabled=False, timezone_id="Asia/Tokyo")
    expect(page.locator("tbody time")).to_have_text(f"{at:%Y-%m-%d %H:%M:%S} UTC")
    expect(page.get_by_role("contentinfo")).to_contain_text("Times are in UTC.")
    expect(page.get_by_role("button", name="Keyboard shortcuts")).to_be_hidden()
    page.get_by_role("link", name="Hello").click()
    expect(page.get_by_role("button", name="Copy")).to_have_count(0)


def test_single_keys_do_what_their_sheet_says(shop: Shop, visit: Visit) -> None:
    for name in ("First", "Second"):
        shop.keep(hello(name), delay=3_600)
    page = visit("/")
    press_keys(page, "g", "m")
    page.wait_for_url("**/messages")
    page.get_by_role("button", name="Keyboard shortcuts").wait_for()
    press_keys(page, "j", "j", "x", "k")
    assert focused(page) == "Second"
    expect(page.get_by_label("Choose First")).to_be_checked()
    press_keys(page, "t")
    expect(page.locator("tbody time").first).to_contain_text("UTC")
    press_keys(page, "t", "s")
    page.keyboard.type("g?x")
    expect(page.get_by_label("Search")).to_have_value("g?x")
    page.get_by_role("link", name="First").focus()
    press_keys(page, "Control+j", "?")
    sheet = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(sheet).to_contain_text("Go to Suppressions")
    assert serious_findings(page) == []
    sheet.get_by_label("Use single keys as shortcuts").uncheck()
    press_keys(page, "Escape")
    expect(sheet).to_be_hidden()
    page.reload()
    press_keys(page, "?", "g", "l")
    expect(sheet).to_be_hidden()
    assert page.url.endswith("/messages")
    page.get_by_role("button", name="Keyboard shortcuts").click()
    sheet.get_by_role("button", name="Close").click()
    expect(sheet).to_be_hidden()


def press_keys(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_each_page_of_the_navigation_has_a_key_of_its_own(open_shop: OpenShop) -> None:
    endpoint = {"url": "https://crm.example.com/", "secrets": SECRET}
    shop = open_shop(MAIL_URL="inbox://", OUTBOX_WEBHOOKS={"crm": endpoint})
    shop.mail.preview(hello)
    keys = re.findall(r'data-key="(.)"', shop.page("/"))
    assert len(keys) == 10
    assert len(set(keys)) == 10


def test_what_people_need_elsewhere_is_copied(
    shop: Shop, visit: Visit, server: JournalSmtp
) -> None:
    server.behaviour = Behaviour(at_rcpt="550 5.1.1 no such person")
    id = shop.keep(hello())
    shop.wait_for(signals.message_failed)
    page = visit(f"/messages/{id}", permissions=["clipboard-read", "clipboard-write"])
    for what, copied in {
        "the id": id,
        "the Message-ID": shop.outbox.get(id).rfc_message_id,
        "the address ada@example.org": "ada@example.org",
        "the reply for ada@example.org": "550 5.1.1 no such person",
    }.items():
        page.get_by_role("button", name=f"Copy {what}", exact=True).click()
        button = page.get_by_role("button", name=f"Copied {what}", exact=True)
        button.wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == copied
    expect(page.locator("#said")).to_have_text("Copied")
    assert serious_findings(page) == []


def test_a_batch_is_followed_and_stopped(visit: Visit, shop: Shop) -> None:
    with shop.app.app_context():
        messages = (
            Message("News", [f"user{row}@example.org"], "Hello") for row in range(5)
        )
        batch = shop.mail.send_many(messages, name="November", delay=3_600).id
    page = visit(f"/batches/{batch}", viewport=NARROW)
    assert serious_findings(page) == []
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Yes: pause").click()
    page.locator("h2 .state", has_text="paused").wait_for()
    page.get_by_text("5 paused").wait_for()
    page.get_by_text("This page updates itself").wait_for()
    with shop.app.app_context():
        shop.mail.cancel_batch(batch)
    page.locator("h2 .state", has_text="cancelled").wait_for()
    page.get_by_text("5 of 5 finished").wait_for()


def test_actions_are_offered_once_a_message_is_selected(
    shop: Shop, visit: Visit
) -> None:
    page = visit("/messages")
    retry = page.get_by_role("button", name="Retry", exact=True)
    expect(retry).to_be_hidden()
    shop.keep(hello("Later"), delay=3_600)
    expect(retry).to_be_visible()
    expect(retry).to_be_disabled()
    page.get_by_label("Choose Later").check()
    expect(retry).to_be_enabled()
    page.get_by_label("Choose Later").uncheck()
    expect(retry).to_be_disabled()


def test_a_refusal_does_not_look_like_an_acceptance(
    shop: Shop, visit: Visit, server: JournalSmtp
) -> None:
    server.behaviour = Behaviour(at_rcpt="550 5.1.1 no such person")
    id = shop.keep(hello())
    shop.wait_for(signals.message_failed)
    page = visit(f"/messages/{id}")
    refused = page.locator(".dialogue code", has_text="550 5.1.1").first
    accepted = page.locator(".dialogue code", has_text="250").first
    assert colour(refused) == colour(page.locator(".status .state"))
    assert colour(accepted) != colour(refused)


def colour(element: Locator) -> str:
    found: str = element.evaluate("one => getComputedStyle(one).color")
    return found


def test_on_a_phone_a_lane_says_why_it_is_paused_at_full_width(
    shop: Shop, visit: Visit
) -> None:
    shop.post("/lanes/default/pause", reason="the server moves to another house")
    page = visit("/lanes", viewport=NARROW)
    row = page.locator("#lane-default")
    reason = row.get_by_text("by a person: the server moves to another house")
    assert height(reason) <= 4 * height(row.locator(".state"))


def test_counters_do_not_break_words(shop: Shop, visit: Visit) -> None:
    page = visit("/", viewport=NARROW)
    for tile in page.locator(".counts a").all():
        assert tile.evaluate("one => getComputedStyle(one).overflowWrap") == "normal"
        assert tile.evaluate("one => one.scrollWidth <= one.clientWidth")


def height(element: Locator) -> float:
    box = element.bounding_box()
    assert box
    return box["height"]
