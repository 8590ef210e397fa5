"""``flask outbox list``."""

from __future__ import annotations

from datetime import datetime

from flask_outbox import Fate
from tests.cli.shop import Shop
from tests.reports import ADA, BOB, report


def test_the_newest_messages_are_first(shop: Shop) -> None:
    ids = [shop.send(subject=f"Number {number}") for number in range(3)]
    said = shop.run("list").stdout
    assert sorted(ids, key=said.index) == sorted(ids, reverse=True)
    assert "Number 2" in said


def test_an_outbox_without_messages_says_so(shop: Shop) -> None:
    assert shop.run("list").stdout == "There are no messages.\n"
    assert shop.document("list") == {"messages": []}


def test_state_selects_messages_in_one_state(shop: Shop) -> None:
    cancelled, pending = shop.send(), shop.send()
    shop.run("cancel", cancelled)
    said = shop.run("list", "--state", "cancelled").stdout
    assert cancelled in said
    assert pending not in said
    (found,) = shop.document("list", "--state", "pending")["messages"]
    assert found["id"] == pending
    assert shop.run("list", "--state", "sent").stdout == "There are no messages.\n"


def test_before_shows_older_pages(shop: Shop) -> None:
    ids = sorted((shop.send() for _ in range(3)), reverse=True)
    first = shop.run("list", "--limit", "2").stdout
    assert first.endswith(f"\nOlder ones: --before {ids[1]}\n")
    second = shop.run("list", "--limit", "2", "--before", ids[1].lower()).stdout
    assert ids[2] in second
    assert ids[1] not in second
    assert "Older ones" not in second


def test_many_recipients_are_counted_instead_of_listed(shop: Shop) -> None:
    shop.send("ada@example.org", "bob@example.org", "eve@example.org")
    assert "ada@example.org and 2 more" in shop.run("list", columns=120).stdout


def test_the_list_is_printed_as_json(shop: Shop) -> None:
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
        "fate": None,
        "sent": 0,
        "reply": None,
    }


def test_the_furthest_fate_is_beside_the_state(shop: Shop) -> None:
    id = shop.send(ADA, BOB)
    shop.deliver()
    assert shop.document("list")["messages"][0]["fate"] is None
    shop.runtime.take_feedback(
        [report(Fate.SOFT_BOUNCED, id), report(Fate.DELIVERED, id, address=BOB)]
    )
    assert "sent, delivered " in shop.run("list").stdout
    shop.runtime.take_feedback([report(Fate.BOUNCED, id)])
    assert "sent, bounced " in shop.run("list").stdout
    assert shop.document("list")["messages"][0]["fate"] == "bounced"


def test_fate_selects_messages_with_such_a_recipient(shop: Shop) -> None:
    ids = [shop.send(ADA, BOB) for _ in range(4)]
    shop.deliver()
    shop.runtime.take_feedback(
        [report(Fate.SOFT_BOUNCED, one, address=None) for one in ids[1:]]
    )
    shop.runtime.take_feedback([report(Fate.DELIVERED, ids[1])])
    found = shop.document("list", "--fate", "soft_bounced")["messages"]
    assert [one["id"] for one in found] == [*reversed(ids[1:])]
    first = shop.run("list", "--fate", "soft_bounced", "--limit", "2").stdout
    assert first.endswith(f"\nOlder ones: --before {ids[2]}\n")
    older = ("list", "--fate", "soft_bounced", "--before", ids[2])
    assert [one["id"] for one in shop.document(*older)["messages"]] == [ids[1]]
    nothing = ("list", "--fate", "soft_bounced", "--state", "failed")
    assert shop.run(*nothing).stdout == "There are no messages.\n"
    assert "'delayed'" in shop.run("list", "--fate", "lost", code=2).stderr
