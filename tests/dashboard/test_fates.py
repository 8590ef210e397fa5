"""What is reported of mail after the next hop, as the dashboard shows it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from flask_outbox import Fate, Message, signals
from flask_outbox.delivery import Reply
from flask_outbox.humanize import clock
from flask_outbox.outbox.records import Search
from tests.browser import chromium, expect, opened, serious_findings
from tests.dashboard.conftest import OpenShop
from tests.dashboard.serving import served
from tests.dashboard.shop import Shop
from tests.reports import ADA, BOB, GONE, HOSTILE, report

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NARROW, WIDE = {"width": 360, "height": 740}, {"width": 1280, "height": 720}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, as the system has it."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def shop(open_shop: OpenShop) -> Shop:
    """A shop whose own courier works."""
    shop = open_shop(OUTBOX_ENGINE="thread")
    shop.make_ready()
    return shop


def sent(shop: Shop, *recipients: str, subject: str = "Hello", **options: str) -> str:
    """Send a message and wait until the next hop has it; its id."""
    before = len(shop.told(signals.message_sent))
    message = Message(subject, list(recipients) or [ADA], "Hello\n")
    id = shop.keep(message, **options)
    shop.wait_for(signals.message_sent, before + 1)
    return id


def text_of(page: str) -> str:
    """What a person reads on it, on one line."""
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", page)).split())


def badges(page: str) -> list[str]:
    """The fates that are shown, in order."""
    return re.findall(r'data-fate="(\w+)"', page)


# ------------------------------------------------------------------------- one mail


def test_a_mails_page_shows_the_fate_of_each_recipient(shop: Shop) -> None:
    id = sent(shop, ADA, BOB)
    assert "As reported" not in shop.page(f"/messages/{id}")
    delivered = report(Fate.DELIVERED, id)
    bounced = report(Fate.BOUNCED, id, address=BOB, reply=GONE)
    shop.runtime.take_feedback([delivered, bounced])
    page = shop.page(f"/messages/{id}")
    assert badges(page) == ["bounced", "delivered", "bounced"]
    assert f'datetime="{bounced.at.isoformat()}"' in page
    read = text_of(page)
    assert "End 1 bounced, 1 delivered" in read
    assert "It was delivered to ada@example.org, as postmark reports" in read
    assert "It came back from bob@example.org for good, as postmark reports" in read
    at = clock(bounced.at)
    assert f"bounced {at} 550 5.1.1 no such user suppressed bob" in read


def test_a_fate_that_comes_appears_on_the_open_page(
    shop: Shop, browser: Browser
) -> None:
    id = sent(shop)
    with (
        served(shop.app) as address,
        opened(browser, f"{address}/messages/{id}") as page,
    ):
        page.get_by_text("This page updates itself").wait_for()
        shop.runtime.take_feedback([report(Fate.BOUNCED, id, reply=GONE)])
        recipient = page.locator("#recipient-1")
        expect(recipient.locator("[data-fate=bounced]")).to_be_visible()
        expect(recipient).to_contain_text(str(GONE))
        expect(page.locator("#stage-end[data-light=trouble]")).to_contain_text(
            "bounced"
        )
        expect(page.locator("tr[data-kind=bounced]")).to_contain_text("for good")


def test_a_page_misses_no_fate_that_came_while_it_was_loading(shop: Shop) -> None:
    id = sent(shop)
    seen = re.search(r'data-stream="[^"]*seen=(\d+)', shop.page(f"/messages/{id}"))
    assert seen
    assert int(seen[1]) == shop.outbox.change_marker(id)
    shop.runtime.take_feedback([report(Fate.DELIVERED, id)])
    assert int(seen[1]) != shop.outbox.change_marker(id)


# ------------------------------------------------------------------------- the list


def test_the_list_shows_the_furthest_fate_beside_the_state(shop: Shop) -> None:
    first, second = sent(shop, ADA, BOB), sent(shop, BOB)
    assert badges(shop.page("/messages")) == []
    shop.runtime.take_feedback(
        [
            report(Fate.DELIVERED, first),
            report(Fate.SOFT_BOUNCED, first, address=BOB),
            report(Fate.COMPLAINED, second, address=BOB),
        ]
    )
    assert badges(shop.page("/messages")) == ["complained", "delivered"]


def test_the_list_is_searched_by_fate(shop: Shop) -> None:
    first, second = sent(shop, ADA, BOB), sent(shop, BOB)
    shop.runtime.take_feedback(
        [
            report(Fate.DELIVERED, first),
            report(Fate.SOFT_BOUNCED, first, address=BOB),
            report(Fate.DELIVERED, second, address=BOB),
        ]
    )
    page = shop.page("/messages?fate=soft_bounced")
    assert (first in page, second in page) == (True, False)
    assert '<option value="soft_bounced" selected>soft bounced</option>' in page
    assert "No mail matches." in shop.page("/messages?fate=soft_bounced&is=failed")
    page = shop.page("/messages?fate=nonsense")
    assert (first in page, second in page) == (True, True)
    confirm = shop.page(f"/act?action=send-again&id={first}&fate=soft_bounced")
    assert 'name="fate" value="soft_bounced"' in confirm


# ------------------------------------------------------------------------ the overview


def test_the_overview_counts_the_fates_of_the_last_days_mail(shop: Shop) -> None:
    id = sent(shop, ADA, BOB)
    assert "After the next hop" not in shop.page("/")
    shop.runtime.take_feedback(
        [
            report(Fate.DELIVERED, id),
            report(Fate.BOUNCED, id, address=BOB),
            report(Fate.BOUNCED, None, provider_id="nobody-knows"),
        ]
    )
    page = shop.page("/")
    assert badges(page) == ["delivered", "bounced"]
    assert "1 delivered 1 bounced Recipients of the mail" in text_of(page)
    assert "1 received report waits for a message" in text_of(page)
    link = re.search(r'href="/outbox([^"]+)" data-fate="bounced"', page)
    assert link
    assert id in shop.page(html.unescape(link[1]))


# ---------------------------------------------------------------------------- a batch


def test_a_batch_counts_fates_and_lists_what_came_back(shop: Shop) -> None:
    with shop.app.app_context():
        messages = (Message("News", [f"u{row}@example.org"], "Hi") for row in range(3))
        batch = shop.mail.send_many(messages, name="November").id
    shop.wait_for(signals.message_sent, 3)
    assert "After the next hop" not in shop.page(f"/batches/{batch}")
    ids = [one.id for one in shop.outbox.search(Search(batch=batch)).messages]
    shop.runtime.take_feedback(
        [
            report(Fate.DELIVERED, ids[0], address=None),
            report(Fate.BOUNCED, ids[2], address=None, reply=GONE),
        ]
    )
    page = shop.page(f"/batches/{batch}")
    assert badges(page) == ["delivered", "bounced", "bounced"]
    assert "u0@example.org bounced 550 5.1.1 no such user" in text_of(page)
    link = re.search(r'href="/outbox([^"]+)" data-fate="bounced"', page)
    assert link
    found = shop.page(html.unescape(link[1]))
    assert [one in found for one in ids] == [False, False, True]
    report_csv = shop.ask(f"/batches/{batch}/report.csv").text
    assert report_csv.splitlines()[1].endswith(
        ",u0@example.org,sent,550 5.1.1 no such user,bounced"
    )


# ----------------------------------------------------------------------- suppressions


def test_a_suppression_shows_the_report_that_it_follows_from(shop: Shop) -> None:
    id = sent(shop)
    bounced = report(Fate.BOUNCED, id, event_id="e-1", reply=GONE)
    shop.runtime.take_feedback([bounced])
    shop.outbox.suppress(BOB, reason="asked us", source="person")
    page = shop.page("/suppressions")
    assert f'href="/outbox/messages/{id}"' in page
    assert f'datetime="{bounced.at.isoformat()}"' in page
    assert (
        f"bounced: 550 5.1.1 no such user bounced {clock(bounced.at)} , as postmark "
        "reports ( e-1 ); the message" in text_of(page)
    )
    by_person = shop.page("/suppressions?source=person")
    assert (id in by_person, "asked us" in by_person) == (False, True)
    of_ada = shop.page("/suppressions?address=ADA@example.org")
    assert (id in of_ada, "asked us" in of_ada) == (True, False)
    nobody = shop.page("/suppressions?source=complaint&address=ada@example.org")
    assert "ada@example.org is not suppressed by complaint." in text_of(nobody)
    assert id in shop.page("/suppressions?source=nonsense")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "look on the provider's own pages"),
        ({"MAIL_TRANSPORTS": {"bulk": "sendgrid://key@"}}, f"{ADA} --at-provider"),
    ],
)
def test_a_removal_says_where_the_providers_own_list_is_changed(
    open_shop: OpenShop, settings: dict[str, object], said: str
) -> None:
    shop = open_shop(**settings)
    id = shop.send(ADA).id
    shop.runtime.take_feedback([report(Fate.BOUNCED, id, reply=GONE)])
    assert said in text_of(shop.page(f"/suppressions/remove?address={ADA}"))


def test_a_removal_is_confirmed_and_earlier_reports_do_not_undo_it(
    shop: Shop, browser: Browser
) -> None:
    id = sent(shop)
    bounced = report(Fate.BOUNCED, id, reply=GONE)
    shop.runtime.take_feedback([bounced])
    with (
        served(shop.app) as address,
        opened(browser, f"{address}/suppressions") as page,
    ):
        page.get_by_role("link", name=f"Remove the suppression of {ADA}").click()
        heading = page.get_by_role("heading", level=1)
        expect(heading).to_have_text(f"Allow mail to {ADA} again?")
        expect(page.locator("main")).to_contain_text("A new report does.")
        assert serious_findings(page) == []
        page.get_by_role("link", name="No, go back").click()
        expect(page.locator("tbody tr")).to_have_count(1)
        page.get_by_role("link", name=f"Remove the suppression of {ADA}").click()
        page.get_by_role("button", name="Yes: allow it").click()
        expect(page.get_by_text("No address is suppressed.")).to_be_visible()
    shop.runtime.take_feedback([bounced])
    assert [*shop.outbox.suppressions()] == []
    assert shop.ask(f"/suppressions/remove?address={ADA}").status_code == 404
    shop.runtime.take_feedback([report(Fate.BOUNCED, id)])
    assert [one.address for one in shop.outbox.suppressions()] == [ADA]


# -------------------------------------------------------------------- hostile words


def test_hostile_words_are_only_words(shop: Shop, browser: Browser) -> None:
    id = sent(shop)
    shop.runtime.take_feedback(
        [report(Fate.BOUNCED, id, reply=Reply(550, None, HOSTILE))]
    )
    with (
        served(shop.app) as address,
        opened(browser, f"{address}/messages/{id}") as page,
    ):
        words = page.locator("#recipient-1 [data-heading='As reported']")
        expect(words).to_contain_text("<script>top.RAN=1</script>")
        expect(words).to_contain_text("{{ 7 * 7191 }}")
        expect(words).to_contain_text(r"\u001b[2J\u001b]0;RAN\u0007\u202egnp.exe")
        assert page.evaluate("window.RAN") is None
        page.goto(f"{address}/suppressions")
        expect(page.locator("tbody tr")).to_contain_text("<script>top.RAN=1</script>")
        assert page.evaluate("window.RAN") is None
        assert page.locator("script:not([src]), img[onerror], [onfocus]").count() == 0


# ---------------------------------------------------------------------------- looks


@pytest.mark.parametrize("viewport", [NARROW, WIDE], ids=["narrow", "wide"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_are_accessible_and_never_too_wide(
    shop: Shop, browser: Browser, scheme: str, viewport: dict[str, int]
) -> None:
    id = sent(shop, ADA, BOB)
    with shop.app.app_context():
        messages = [Message("News", [ADA], "Hi")]
        batch = shop.mail.send_many(messages, name="November").id
    shop.wait_for(signals.message_sent, 2)
    (in_batch,) = shop.outbox.search(Search(batch=batch)).messages
    long = Reply(550, "5.7.1", "x" * 400)
    shop.runtime.take_feedback(
        [
            report(Fate.SOFT_BOUNCED, id),
            report(Fate.BOUNCED, id, address=BOB, reply=long),
            report(Fate.BOUNCED, in_batch.id, reply=long),
        ]
    )
    with (
        served(shop.app) as address,
        opened(browser, address, color_scheme=scheme, viewport=viewport) as page,
    ):
        for path in (
            "/",
            "/messages",
            f"/messages/{id}",
            f"/batches/{batch}",
            "/suppressions",
            f"/suppressions/remove?address={BOB}",
        ):
            page.goto(f"{address}{path}")
            assert serious_findings(page) == [], path
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width == viewport["width"], path
