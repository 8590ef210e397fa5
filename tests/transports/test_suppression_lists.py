"""The suppression lists of providers: read in pages, and changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flask_outbox import AccountTrouble, Throttled, TransportDown
from flask_outbox.errors import TransportError
from flask_outbox.testing.transport_contract import PeerBehaviour
from flask_outbox.transports.suppression_list import (
    ListedAddress,
    ListedFor,
    SuppressionList,
)
from tests.servers.http_api import KEY, Answer
from tests.transports.fakes import FAKES
from tests.transports.list_fakes import (
    BOUNCE,
    COMPLAINT,
    LISTING,
    LONG_AGO,
    UNSUBSCRIBE,
    Entry,
    Listing,
    ListingMailgun,
    ListingPostmark,
    ListingSendGrid,
    ListingSes,
    ListingSparkPost,
)

T = TypeVar("T")
ADA, BOB = "ada@example.org", "bob+news/a&b=c@example.org"

every_list = pytest.mark.parametrize("fake", LISTING, ids=lambda one: one.scheme)


def talk(
    api: Listing,
    call: Callable[[SuppressionList], Awaitable[T]],
    deadline_seconds: float = 30,
) -> T:
    """What ``call`` returns of the list of a transport to ``api``."""

    async def run() -> T:
        transport = api.transport(deadline_seconds)
        found = transport.suppression_list()
        assert found is not None
        try:
            return await call(found)
        finally:
            await transport.close()

    return asyncio.run(run())


async def _pages(source: SuppressionList) -> list[list[ListedAddress]]:
    return [list(page) async for page in source.pages()]


def read(api: Listing) -> list[ListedAddress]:
    return [one for page in talk(api, _pages) for one in page]


def remove(api: Listing, address: str) -> bool:
    return talk(api, lambda source: source.remove(address))


def many(fake: type[Listing], number: int) -> list[Entry]:
    kinds = fake.kinds
    return [
        Entry(f"u{n:05}@example.org", kinds[n % len(kinds)], LONG_AGO)
        for n in range(number)
    ]


# ----------------------------------------------------------------------- reading


@every_list
def test_entries_say_who_why_since_when_and_in_which_words(
    fake: type[Listing],
) -> None:
    at = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
    entries = [
        Entry(f"{kind}@example.org", kind, at, "550 no such user" * (kind == BOUNCE))
        for kind in fake.kinds
    ]
    with fake(*entries) as api:
        found = read(api)
    assert {one.address: one.listed_for for one in found} == {
        f"{kind}@example.org": kind for kind in fake.kinds
    }
    assert {one.at for one in found} == {at.timestamp()}
    words = {one.words for one in found if one.listed_for is ListedFor.BOUNCE}
    assert words == {"550 no such user" if fake.says_words else ""}


@every_list
@pytest.mark.parametrize("number", [0, 1, 250, 5_000])
def test_a_list_is_read_to_its_end(fake: type[Listing], number: int) -> None:
    with fake(*many(fake, number)) as api:
        pages = talk(api, _pages)
    addresses = [one.address for page in pages for one in page]
    assert sorted(addresses) == [one.address for one in many(fake, number)]
    if fake is not ListingPostmark:
        assert max(len(page) for page in [*pages, []]) <= 250


def test_a_list_of_postmarks_too_long_for_an_answer_is_read_in_parts() -> None:
    days = 400
    entries = [
        Entry(f"{'x' * 50}{n}@example.org", at=LONG_AGO - timedelta(days=n % days))
        for n in range(12_000)
    ]
    with ListingPostmark(*entries) as api:
        pages = talk(api, _pages)
    addresses = [one.address for page in pages for one in page]
    assert sorted(addresses) == sorted(one.address for one in entries)
    assert len(pages) > 1


def test_a_day_of_postmarks_too_long_for_an_answer_is_an_error() -> None:
    entries = [Entry(f"{'x' * 50}{n}@example.org") for n in range(12_000)]
    with ListingPostmark(*entries) as api, pytest.raises(TransportDown) as raised:
        read(api)
    assert "more addresses for 2026-03-01 than can be read" in str(raised.value)


def test_mailguns_unsubscribes_of_a_tag_are_for_that_tag() -> None:
    entries = [Entry(ADA, UNSUBSCRIBE, tag="news"), Entry(BOB, UNSUBSCRIBE)]
    with ListingMailgun(*entries) as api:
        found = read(api)
    assert {one.address: one.for_tag for one in found} == {ADA: "news", BOB: ""}


def test_sparkposts_entries_for_transactional_mail_only_do_not_count() -> None:
    with ListingSparkPost(Entry(ADA, tag="other"), Entry(BOB)) as api:
        assert [one.address for one in read(api)] == [BOB]


def test_mailguns_next_page_is_asked_of_no_other_host() -> None:
    with (
        ListingSendGrid() as elsewhere,
        ListingMailgun(*many(ListingMailgun, 900)) as api,
    ):
        api.next_host = f"127.0.0.1:{elsewhere.port}"
        assert len(read(api)) == 900
        assert elsewhere.connections == 0


@every_list
def test_a_list_can_be_asked_for_by_those_only_who_have_one(
    fake: type[Listing],
) -> None:
    with fake() as api:
        assert api.transport().suppression_list() is not None


def test_other_transports_have_no_list() -> None:
    schemes = {one.scheme for one in LISTING}
    others = [fake for fake in FAKES if fake.scheme not in schemes]
    assert others
    for fake in others:
        with fake() as api:
            assert api.transport().suppression_list() is None


# ---------------------------------------------------------------------- removing


@every_list
def test_an_address_is_removed_whatever_it_is_listed_for(fake: type[Listing]) -> None:
    kinds = [one for one in fake.kinds if (fake, one) != (ListingPostmark, COMPLAINT)]
    entries = [Entry(BOB, kind) for kind in kinds]
    with fake(*entries, Entry(ADA)) as api:
        assert remove(api, BOB)
        assert [one.address for one in api.entries] == [ADA]
        if fake is not ListingPostmark:
            assert not remove(api, BOB)


def test_postmark_keeps_complaints_and_says_so() -> None:
    with ListingPostmark(Entry(ADA, COMPLAINT)) as api:
        with pytest.raises(AccountTrouble, match="Postmark keeps it: You do not have"):
            remove(api, ADA)
        assert api.entries


# ----------------------------------------------------------------------- trouble


@every_list
def test_a_provider_that_asks_to_wait_is_waited_for(fake: type[Listing]) -> None:
    with fake(Entry(ADA)) as api:
        api.throttles = [{"Retry-After": "0.01"}, {"Retry-After": "0"}]
        assert [one.address for one in read(api)] == [ADA]
        assert api.throttles == []


@every_list
def test_a_provider_that_asks_to_wait_long_ends_the_reading(
    fake: type[Listing],
) -> None:
    with fake(Entry(ADA)) as api:
        api.throttles = [{"Retry-After": "3600"}]
        with pytest.raises(Throttled) as raised:
            read(api)
    assert raised.value.wait_seconds == 3600


@every_list
def test_a_provider_that_never_stops_asking_to_wait_ends_the_reading(
    fake: type[Listing],
) -> None:
    with fake(Entry(ADA)) as api:
        api.throttles = [{"Retry-After": "0"}] * 50
        with pytest.raises(Throttled):
            read(api)
        assert len(api.throttles) > 40


@every_list
def test_a_rejected_key_is_told_without_the_key(fake: type[Listing]) -> None:
    with fake(Entry(ADA)) as api:
        api.behave(PeerBehaviour.REJECT_ACCOUNT)
        with pytest.raises(AccountTrouble) as raised:
            read(api)
        with pytest.raises(AccountTrouble):
            remove(api, ADA)
    assert KEY not in str(raised.value)
    assert "was answered 40" in str(raised.value)


@every_list
@pytest.mark.parametrize(
    "behaviour",
    [
        PeerBehaviour.UNREACHABLE,
        PeerBehaviour.CUT_AFTER_END,
        PeerBehaviour.CUT_REPLY,
        PeerBehaviour.REDIRECT,
        PeerBehaviour.ENDLESS_REPLY,
        PeerBehaviour.DEFER,
    ],
)
def test_trouble_is_an_error_of_the_transports(
    fake: type[Listing], behaviour: PeerBehaviour
) -> None:
    with fake(Entry(ADA)) as api:
        api.behave(behaviour)
        with pytest.raises(TransportDown):
            read(api)
        with pytest.raises(TransportDown):
            remove(api, ADA)
        assert all(one.path != "/elsewhere" for one in api.requests)


@every_list
def test_a_provider_that_does_not_answer_is_not_waited_for(fake: type[Listing]) -> None:
    with fake(Entry(ADA)) as api:
        api.behave(PeerBehaviour.SILENCE)
        with pytest.raises(TransportDown, match="the call took too long"):
            talk(api, _pages, deadline_seconds=0.2)


@every_list
@pytest.mark.parametrize("body", [b"<html>", b"", b"[", b"7", b"{}", b"null", b'"x"'])
def test_an_answer_of_something_else_is_no_empty_list(
    fake: type[Listing], body: bytes
) -> None:
    with fake() as api:
        api.answers = Answer(200, body)
        with pytest.raises(AccountTrouble, match="is the host in MAIL_URL right"):
            read(api)


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
    lambda some: st.lists(some) | st.dictionaries(st.text(), some),
    max_leaves=5,
)
names = st.sampled_from(
    sorted(
        {"EmailAddress", "SuppressionReason", "Origin", "CreatedAt", "Reason"}
        | {"LastUpdateTime", "email", "created", "reason", "address", "created_at"}
        | {"error", "tag", "tags"}
    )
)
pages = st.lists(st.dictionaries(names, values) | values, max_size=3)


@every_list
@settings(max_examples=25, deadline=None)
@given(page=pages, following=values)
@example(page=[{}], following="?\x1f")
def test_any_page_is_read_or_refused(
    fake: type[Listing], page: object, following: object
) -> None:
    body = {
        "Suppressions": page,
        "items": page,
        "paging": {"next": following},
        "SuppressedDestinationSummaries": page,
        "contacts": page,
        "data": page,
        "results": page,
        "links": [{"rel": "next", "href": following}],
    }
    with fake() as api:
        whole: object = page if fake is ListingSendGrid else body
        api.answers = Answer(200, json.dumps(whole).encode())
        try:
            for one in read(api):
                assert isinstance(one.address, str)
        except TransportError:
            pass


def test_what_ses_is_asked_for_is_encoded_and_in_alphabetical_order() -> None:
    with ListingSes(*many(ListingSes, 150), Entry(BOB)) as api:
        assert len(read(api)) == 151
        remove(api, BOB)
    queries = [one.path.partition("?")[2] for one in api.requests]
    assert queries == ["PageSize=100", "NextToken=100%2F%2B%3D&PageSize=100", ""]
    assert api.requests[-1].path.endswith("/bob%2Bnews%2Fa%26b%3Dc%40example.org")
