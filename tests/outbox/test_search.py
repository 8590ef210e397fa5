"""Searching: all criteria, paging both ways, and never a scan of everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from flask_outbox.delivery import IN_INBOX, Envelope, State
from flask_outbox.outbox import MessageActions, Outbox, search
from flask_outbox.outbox.ids import id_at, new_id, time_of
from flask_outbox.outbox.records import Page, Search

from .making import (
    ADA,
    BOB,
    COURIER,
    CY,
    SENDER,
    Clock,
    claim_one,
    ended,
    failed,
    put,
    same,
    sent,
)

Put = Callable[..., str]


@pytest.fixture
def put_at(outbox: Outbox) -> Put:
    """Puts messages whose ids were made a second after each other."""
    seconds = count(1_800_000_000)

    def put_next(*recipients: str, **changes: Any) -> str:
        message_id = id_at(next(seconds))[:10] + new_id()[10:]
        named = {"id": message_id, "rfc_message_id": f"<{message_id}@example.org>"}
        return put(outbox, *recipients, **{**named, **changes})

    return put_next


def at(second: float) -> datetime:
    """The time at which `put_at` made the message with this number."""
    return datetime.fromtimestamp(1_800_000_000 + second, UTC)


def found(outbox: Outbox, **wanted: Any) -> list[str]:
    page = outbox.search(Search(**wanted))
    assert (page.older, page.newer, page.looked_to) == (None, None, None)
    return [one.id for one in page.messages]


# ------------------------------------------------------------------------- by one thing


def test_without_criteria_all_are_found_newest_first(
    outbox: Outbox, put_at: Put
) -> None:
    ids = [put_at(ADA, BOB, tag="orders") for _ in range(3)]

    page = outbox.search(Search())

    assert [one.id for one in page.messages] == ids[::-1]
    first = page.messages[0]
    assert (first.state, first.lane, first.tag) == (State.PENDING, "default", "orders")
    assert first.recipients == (ADA, BOB)


def test_messages_are_found_by_state(outbox: Outbox, put_at: Put) -> None:
    one = put_at()
    outbox.record([failed(claim_one(outbox), outbox.clock())])
    other = put_at()
    outbox.record([sent(claim_one(outbox), outbox.clock())])
    put_at()

    assert found(outbox, state=State.FAILED) == [one]
    assert found(outbox, state=State.SENT) == [other]


def test_mail_in_the_dev_inbox_is_found(outbox: Outbox, put_at: Put) -> None:
    kept = put_at(ADA, BOB)
    held = claim_one(outbox)
    answers = same(held, State.SENT, IN_INBOX)
    outbox.record([ended(held, outbox.clock(), State.SENT, answers)])
    left = put_at(ADA)
    outbox.record([sent(claim_one(outbox), outbox.clock())])
    waiting = put_at(ADA)

    assert found(outbox, in_inbox=True) == [kept]
    assert found(outbox, in_inbox=True, state=State.SENT) == [kept]
    assert found(outbox) == [waiting, left, kept]


def test_due_and_scheduled_messages_are_found(outbox: Outbox, put_at: Put) -> None:
    now = put_at()
    later = put_at(due_at=outbox.clock() + 60)
    put_at()
    outbox.act(MessageActions.cancel, found(outbox, due=True)[0])

    assert found(outbox, due=True) == [now]
    assert found(outbox, due=False) == [later]
    assert found(outbox, due=False, state=State.PENDING) == [later]
    assert found(outbox, due=True, state=State.CANCELLED) == []


def test_messages_are_found_by_lane_and_by_tag(outbox: Outbox, put_at: Put) -> None:
    bulk = put_at(lane="bulk", tag="news")
    order = put_at(tag="orders")

    assert found(outbox, lane="bulk") == [bulk]
    assert found(outbox, tag="orders") == [order]
    assert found(outbox, tag="order") == []
    assert found(outbox, tag="orders", lane="bulk") == []


@pytest.mark.parametrize(
    ("address", "them"),
    [
        (ADA, [2, 0]),
        ("ada@EXAMPLE.org", [2, 0]),
        ("Ada@example.org", []),
        ("ada@example", []),
        ("ada@*", [3, 2, 0]),
        ("ada@Example*", [3, 2, 0]),
        ("*", [3, 2, 1, 0]),
        ("größe@*", [1]),
        ("größe@bücher.example", [1]),
        ("a_a@*", []),
        ("nobody@*", []),
        ("no address at all", []),
    ],
)
def test_messages_are_found_by_address(
    outbox: Outbox, put_at: Put, address: str, them: list[int]
) -> None:
    ids = [
        put_at(BOB, ADA),
        put_at("größe@xn--bcher-kva.example"),
        put_at(ADA),
        put_at("ada@example.com"),
    ]

    assert found(outbox, address=address) == [ids[one] for one in them]


def test_a_message_to_two_of_the_addresses_is_found_once(
    outbox: Outbox, put_at: Put
) -> None:
    message_id = put_at("ada@example.com", "ada@example.org")

    assert found(outbox, address="ada*") == [message_id]


def test_a_prefix_of_very_many_addresses_is_found(
    outbox: Outbox, put_at: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SEVERAL_ADDRESSES", 3)
    ids = [put_at(f"user{number}@example.org") for number in range(5)]
    put_at("visitor@example.org")

    assert found(outbox, address="user*") == ids[::-1]


def test_messages_are_found_by_id_or_its_beginning(outbox: Outbox, put_at: Put) -> None:
    one, other = put_at(), put_at()

    assert found(outbox, id=one) == [one]
    assert found(outbox, id=one.lower()) == [one]
    assert found(outbox, id=other[:12]) == [other]
    assert found(outbox, id=one[:3]) == [other, one]
    assert found(outbox, id=f"{one}0") == []
    assert found(outbox, id="nobody") == []


def test_messages_are_found_by_message_id_header(outbox: Outbox, put_at: Put) -> None:
    ours = put_at()
    theirs = put_at(rfc_message_id="<order-7@shop.example>")
    stolen = put_at(rfc_message_id=f"<{ours}@elsewhere.example>")

    assert found(outbox, rfc_message_id=f"<{ours}@example.org>") == [ours]
    assert found(outbox, rfc_message_id=f"{ours}@example.org") == [ours]
    assert found(outbox, rfc_message_id="order-7@shop.example") == [theirs]
    assert found(outbox, rfc_message_id=f"<{ours}@elsewhere.example>") == [stolen]
    assert found(outbox, rfc_message_id="order-7") == []


@pytest.mark.parametrize(
    ("part", "them"),
    [
        ("ORDER", [1, 0]),
        ("order 7", [0]),
        ("größe", [2]),
        ("GRÖSSE", []),
        ("GRÖß", [2]),
        ("100%", [1]),
        ("%", [1]),
        ("_", []),
        ("\\", [3]),
        ("", [3, 2, 1, 0]),
    ],
)
def test_messages_are_found_by_part_of_the_subject(
    outbox: Outbox, put_at: Put, part: str, them: list[int]
) -> None:
    subjects = ("Your order 7", "100% of your Order", "Neue Größe", "C:\\>")
    ids = [put_at(subject=one) for one in subjects]

    assert found(outbox, subject=part) == [ids[one] for one in them]


@pytest.mark.parametrize("odd", ["a\x00b", "half \ud800"])
@pytest.mark.parametrize(
    "criterion",
    ["lane", "tag", "batch", "address", "id", "rfc_message_id", "subject"],
)
def test_nothing_matches_a_text_that_no_database_stores(
    outbox: Outbox, put_at: Put, criterion: str, odd: str
) -> None:
    """The outbox was said to be unusable, or it was no error of ours."""
    put_at("ada@example.org")
    text: dict[str, Any] = {criterion: odd}
    assert found(outbox, **text) == []
    assert outbox.count(Search(**text)).number == 0


def test_messages_are_found_by_time(outbox: Outbox, put_at: Put) -> None:
    ids = [put_at() for _ in range(4)]

    assert found(outbox, since=at(2)) == [ids[3], ids[2]]
    assert found(outbox, until=at(2)) == [ids[1], ids[0]]
    assert found(outbox, since=at(1), until=at(2.5)) == [ids[2], ids[1]]
    assert found(outbox, since=at(9)) == []


def test_all_criteria_must_be_met(outbox: Outbox, put_at: Put) -> None:
    ids = [
        put_at(ADA, tag="orders", subject="Order 7"),
        put_at(ADA, tag="orders", subject="Order 8"),
        put_at(BOB, tag="orders", subject="Order 7"),
        put_at(ADA, tag="news", subject="Order 7"),
        put_at(CY, ADA, tag="orders", subject="Order 7"),
    ]
    outbox.act(MessageActions.cancel, ids[4])

    everything = {"address": ADA, "tag": "orders", "subject": "order 7"}
    assert found(outbox, **everything) == [ids[4], ids[0]]
    assert found(outbox, **everything, state=State.PENDING) == [ids[0]]
    assert found(outbox, **everything, since=at(1)) == [ids[4]]
    assert found(outbox, address=ADA, state=State.CANCELLED) == [ids[4]]


# -------------------------------------------------------------------------------- pages


def forwards(outbox: Outbox, wanted: Search, limit: int) -> Iterator[Page]:
    page = outbox.search(wanted, limit)
    yield page
    while page.older:
        page = outbox.search(wanted, limit, before=page.older)
        yield page


def backwards(outbox: Outbox, wanted: Search, limit: int, page: Page) -> Iterator[Page]:
    while page.newer:
        page = outbox.search(wanted, limit, after=page.newer)
        yield page


def ids_of(pages: list[Page]) -> list[list[str]]:
    return [[one.id for one in page.messages] for page in pages]


@pytest.mark.parametrize(
    "wanted",
    [Search(), Search(state=State.PENDING), Search(tag="t"), Search(address="a*")],
    ids=["all", "state", "tag", "address"],
)
def test_results_are_paged_in_both_directions(
    outbox: Outbox, put_at: Put, wanted: Search
) -> None:
    ids = [put_at(ADA, "a@example.org", tag="t") for _ in range(7)][::-1]

    pages = list(forwards(outbox, wanted, 3))
    back = list(backwards(outbox, wanted, 3, pages[-1]))

    assert ids_of(pages) == [ids[0:3], ids[3:6], ids[6:]]
    assert ids_of(back) == [ids[3:6], ids[0:3]]
    assert pages[0].newer is None
    assert pages[-1].older is None
    assert back[-1].newer is None
    assert outbox.search(wanted, 7).older is None


def test_new_messages_are_on_a_newer_page(outbox: Outbox, put_at: Put) -> None:
    ids = [put_at() for _ in range(4)]
    _, second = forwards(outbox, Search(), 2)
    more = [put_at(), put_at()]

    (again, newest) = backwards(outbox, Search(), 2, second)

    assert ids_of([again, newest]) == [[ids[3], ids[2]], more[::-1]]


# ----------------------------------------------------------- a limited look at a time


@pytest.fixture
def short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SCAN_LIMIT", 10)
    monkeypatch.setattr(search, "FIRST_WINDOW", 2)


@pytest.mark.usefixtures("short_looks")
def test_a_rare_match_is_searched_in_steps(outbox: Outbox, put_at: Put) -> None:
    rare = put_at(subject="rare")
    ids = [put_at() for _ in range(24)]
    wanted = Search(subject="rare")

    pages = list(forwards(outbox, wanted, 5))

    assert ids_of(pages) == [[], [], [rare]]
    assert [page.looked_to for page in pages] == [at(15), at(5), None]
    assert pages[0].older == ids[14]
    assert time_of(ids[14]) == at(15).timestamp()


@pytest.mark.usefixtures("short_looks")
def test_a_rare_match_is_searched_backwards_in_steps(
    outbox: Outbox, put_at: Put
) -> None:
    for _ in range(12):
        put_at()
    rare = put_at(subject="rare")
    wanted = Search(subject="rare")
    _, last = forwards(outbox, wanted, 5)

    back = ids_of(list(backwards(outbox, wanted, 5, last)))

    assert [one for page in back for one in page] == [rare]


@pytest.mark.usefixtures("short_looks")
def test_the_search_starts_from_the_rarer_criterion(
    outbox: Outbox, put_at: Put
) -> None:
    """Many have the tag and one has failed: it is found at the first look."""
    one = put_at(tag="orders")
    outbox.record([failed(claim_one(outbox), outbox.clock())])
    for _ in range(24):
        put_at(tag="orders")

    assert found(outbox, tag="orders", state=State.FAILED) == [one]


@pytest.mark.usefixtures("short_looks")
def test_several_addresses_are_searched_together(outbox: Outbox, put_at: Put) -> None:
    ids = [put_at("ada@example.com"), put_at("ada@example.net")]
    for _ in range(24):
        put_at(ADA)
    ids += [put_at("ada@example.com"), put_at("ada@example.net")]
    wanted = Search(address="ada@*", subject="Hello")

    pages = list(forwards(outbox, wanted, 100))

    everything = [one for page in ids_of(pages) for one in page]
    assert everything == sorted(set(everything), reverse=True)
    assert len(everything) == 28
    assert {*ids} <= {*everything}
    assert len(pages) > 1


def test_a_leased_message_is_found_by_address_and_state(
    outbox: Outbox, put_at: Put
) -> None:
    message_id = put_at(owner=COURIER, envelope=Envelope(SENDER, (ADA,)))

    assert found(outbox, state=State.LEASED, address=ADA) == [message_id]


def test_the_clock_decides_what_is_due(
    outbox: Outbox, clock: Clock, put_at: Put
) -> None:
    message_id = put_at(due_at=clock.now + 60)
    assert found(outbox, due=True) == []

    clock.advance(60)

    assert found(outbox, due=True) == [message_id]
