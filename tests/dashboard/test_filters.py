"""The filters of the list of messages: stacked, removed one by one, and mended."""

from __future__ import annotations

import re
from base64 import b64encode
from html import unescape

import pytest

from flask_outbox import ConfigError, Message
from tests.dashboard.conftest import OpenShop
from tests.dashboard.shop import Shop


def keep(shop: Shop, subject: str, to: str, tag: str | None = None) -> None:
    shop.keep(Message(subject, [to], "Hello\n"), tag=tag)


def subjects(page: str) -> list[str]:
    return re.findall(r'<th scope="row"><a href="[^"]+">([^<]+)</a>', page)


def chips(page: str) -> dict[str, str]:
    """What each chip says, and the query that removes it leads to."""
    found = re.findall(r'<li><a class="chip"[^>]*href="([^"]+)">(.*?)</a>', page)
    return {
        re.sub(r"<[^>]+>|Remove |×", "", text).strip(): unescape(address)
        for address, text in found
    }


def test_filters_stack_and_each_can_be_removed(shop: Shop) -> None:
    keep(shop, "One", "ada@example.org", "orders")
    keep(shop, "Two", "ada@example.org", "news")
    keep(shop, "Three", "bob@example.org", "orders")
    assert subjects(shop.page("/messages?tag=orders&to=ada&is=waiting&last=1h")) == [
        "One"
    ]
    page = shop.page("/messages?tag=orders&to=ada")
    assert chips(page) == {
        "Recipient: ada": "/outbox/messages?tag=orders",
        "Tag: orders": "/outbox/messages?to=ada",
    }
    assert subjects(shop.page("/messages?to=ada")) == ["Two", "One"]
    assert ">Remove all</a>" in page
    assert not chips(shop.page("/messages"))


def test_a_filter_reads_as_people_write_it(shop: Shop) -> None:
    page = shop.page("/messages?last=24h&fate=soft_bounced&until=2999-01-01T10:30")
    assert list(chips(page)) == [
        "Fate: soft bounced",
        "Time: last 24 hours",
        "Until: 2999-01-01 10:30 UTC",
    ]


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ("is=nonsense", "is", "No state is called nonsense. There are waiting,"),
        ("fate=nonsense", "fate", "No fate is called nonsense"),
        ("batch=7", "batch", "not the id of a batch"),
        ("last=century", "last", "century is not one of 1h, 24h, 7d, 30d"),
        ("since=tomorrow", "since", "tomorrow is not a time such as"),
        ("until=0001-01-01T00:00%2B14:00", "until", "is not a time such as"),
        (
            "since=2026-02-01&until=2026-01-01",
            "until",
            "before the beginning of the search",
        ),
        ("last=1h&until=2026-01-01", "until", "before the beginning of the search"),
        ("each=perhaps", "each", "perhaps is not yes"),
        ("to=@example.org", "to", "a domain alone cannot be searched"),
        ("q=@example.org", "q", "a domain alone cannot be searched"),
        ("q=ada@example.org&to=bob", "to", "ada@example.org is searched for already"),
    ],
)
def test_a_bad_value_is_explained_beside_its_field_and_left_out(
    shop: Shop, query: str, field: str, words: str
) -> None:
    keep(shop, "Hello", "ada@example.org")
    page = shop.page(f"/messages?{query}")
    (said,) = re.findall(r'<p class="wrong" id="wrong-(\w+)">(.*?)</p>', page)
    assert said[0] == field
    assert words in said[1]
    assert f'aria-invalid="true" aria-describedby="wrong-{field}"' in page
    assert subjects(page) == ["Hello"]
    assert page.count("data-wrong") == 1


@pytest.mark.parametrize("field", ["q", "to", "tag", "batch", "lane", "since", "last"])
def test_no_value_breaks_the_page(shop: Shop, field: str) -> None:
    for value in ("%00", "%F0%9F%92%8C*", "'\"<b>%5C%25_", "0" * 26, "9" * 400, "@"):
        page = shop.page(f"/messages?{field}={value}")
        assert "<b>" not in page


def test_a_batch_is_one_row_unless_its_messages_are_asked_for(shop: Shop) -> None:
    keep(shop, "Hello", "ada@example.org")
    rows = [Message("News", [f"user{row}@example.org"], "News") for row in range(3)]
    with shop.app.app_context():
        id = shop.mail.send_many(rows, name="Newsletter", tag="news", delay=60).id
        shop.mail.cancel(shop.outbox.list()[0].id)
    for query in ("", "?last=1h"):
        page = shop.page(f"/messages{query}")
        row = page.partition(f'<tr id="batch-{id}"')[2].partition("</tr>")[0]
        assert f'<a href="/outbox/batches/{id}">Newsletter</a>' in row
        text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", row))
        assert "3 messages of the batch Newsletter" in text
        assert "2 waiting 1 cancelled" in text
        assert f"/outbox/messages?batch={id}&amp;is=cancelled" in row
        assert "News" not in subjects(page)
        assert "Hello" in subjects(page)
    for query in ("each=yes", "tag=news", f"batch={id}", "to=user"):
        assert subjects(shop.page(f"/messages?{query}"))[:3] == ["News"] * 3
    assert list(chips(shop.page("/messages?each=yes"))) == [
        "Batches: message by message"
    ]


def test_a_search_is_kept_under_a_name(open_shop: OpenShop) -> None:
    views = {"Bills of ada": "tag=bills&to=ada", "All of it": "each=yes"}
    shop = open_shop(OUTBOX_DASHBOARD_VIEWS=views)
    page = shop.page("/messages?to=ada&tag=bills")
    saved = page.partition('aria-label="Saved views"')[2].partition("</nav>")[0]
    assert re.findall(r'href="([^"]+)"([^>]*)>([^<]+)', saved) == [
        (
            "/outbox/messages?tag=bills&amp;to=ada",
            ' aria-current="true"',
            "Bills of ada",
        ),
        ("/outbox/messages?each=yes", "", "All of it"),
    ]
    assert "OUTBOX_DASHBOARD_VIEWS" not in page
    page = shop.page("/messages?tag=bills&q=a%26b")
    assert '{"A name": "q=a%26b&amp;tag=bills"}' in page
    assert "aria-current" not in page.partition("Saved views")[2].partition("</nav>")[0]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (
            "state=failed",
            "'state' of 'Mine' is wrong. There is no such field",
        ),
        ("is=lost", "the field 'is' of 'Mine' is wrong. No state is called lost"),
    ],
)
def test_a_view_that_means_nothing_is_refused_at_once(
    open_shop: OpenShop, query: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        open_shop(OUTBOX_DASHBOARD_VIEWS={"Mine": query})


def test_times_say_their_zone_or_are_utc(shop: Shop) -> None:
    keep(shop, "Hello", "ada@example.org")
    for query in (
        "since=0001-01-01",
        "until=9999-12-31T23:59",
        "since=2026-01-01T00:00%2B02:00",
    ):
        page = shop.page(f"/messages?{query}")
        assert subjects(page) == ["Hello"]
        assert "data-wrong" not in page


def test_of_encrypted_addresses_only_whole_ones_are_found_and_the_page_says_so(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(OUTBOX_ENCRYPTION_KEYS={"new": b64encode(b"1" * 32).decode()})
    keep(shop, "Hello", "ada@example.org")

    assert subjects(shop.page("/messages?to=ada@example.org")) == ["Hello"]
    for query in ("to=ada", "q=ada*"):
        page = shop.page(f"/messages?{query}")
        assert subjects(page) == ["Hello"]
        (said,) = re.findall(r'<p class="wrong" id="wrong-\w+">(.*?)</p>', page)
        assert "encrypted" in said
        assert "give the whole address" in said
    page = shop.page("/messages?to=bob@example.org")
    assert "only as a whole" in page
    assert "ada*" not in page
