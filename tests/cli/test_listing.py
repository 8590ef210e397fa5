"""``flask outbox list``."""

from __future__ import annotations

from datetime import datetime

from tests.cli.shop import Shop


def test_the_newest_are_first(shop: Shop) -> None:
    ids = [shop.send(subject=f"Number {number}") for number in range(3)]
    said = shop.run("list").stdout
    assert sorted(ids, key=said.index) == sorted(ids, reverse=True)
    assert "Number 2" in said


def test_an_outbox_without_messages_says_so(shop: Shop) -> None:
    assert shop.run("list").stdout == "There are no messages.\n"
    assert shop.document("list") == {"messages": []}


def test_only_one_state(shop: Shop) -> None:
    cancelled, pending = shop.send(), shop.send()
    shop.run("cancel", cancelled)
    said = shop.run("list", "--state", "cancelled").stdout
    assert cancelled in said
    assert pending not in said
    (found,) = shop.document("list", "--state", "pending")["messages"]
    assert found["id"] == pending
    assert shop.run("list", "--state", "sent").stdout == "There are no messages.\n"


def test_page_by_page(shop: Shop) -> None:
    ids = sorted((shop.send() for _ in range(3)), reverse=True)
    first = shop.run("list", "--limit", "2").stdout
    assert first.endswith(f"\nOlder ones: --before {ids[1]}\n")
    second = shop.run("list", "--limit", "2", "--before", ids[1].lower()).stdout
    assert ids[2] in second
    assert ids[1] not in second
    assert "Older ones" not in second


def test_recipients_are_counted_where_they_are_many(shop: Shop) -> None:
    shop.send("ada@example.org", "bob@example.org", "eve@example.org")
    assert "ada@example.org and 2 more" in shop.run("list", columns=120).stdout


def test_for_machines(shop: Shop) -> None:
    id = shop.send(
        "ada@example.org", "bob@example.org", subject="Grüße", tag="greeting"
    )
    (found,) = shop.document("list")["messages"]
    assert datetime.fromisoformat(found.pop("enqueued_at")).utcoffset() is not None
    assert datetime.fromisoformat(found.pop("due_at")).utcoffset() is not None
    assert found == {
        "id": id,
        "state": "pending",
        "subject": "Grüße",
        "recipients": ["ada@example.org", "bob@example.org"],
        "tag": "greeting",
        "lane": "default",
        "attempts": 0,
    }
