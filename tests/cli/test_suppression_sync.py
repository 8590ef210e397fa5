"""``flask outbox sync-suppressions``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flask_outbox.testing.transport_contract import PeerBehaviour
from tests.cli.conftest import MakeShop
from tests.cli.shop import Shop
from tests.transports.list_fakes import Entry, ListingSendGrid

ADA, BOB = "ada@example.org", "bob@example.org"


@pytest.fixture
def api() -> Iterator[ListingSendGrid]:
    with ListingSendGrid(Entry(ADA, words="550 no such user"), Entry(BOB)) as api:
        yield api


@pytest.fixture
def shop(make_shop: MakeShop, api: ListingSendGrid) -> Shop:
    """A shop that sends by a provider, and by a server of its own."""
    other = {"own": "smtp://127.0.0.1:1"}
    return make_shop(MAIL_URL=api.url(), MAIL_TRANSPORTS=other)


def test_what_was_added_is_printed(shop: Shop) -> None:
    shop.run("suppress", BOB)
    assert shop.run("sync-suppressions").stdout == (
        f"{ADA}  listed by sendgrid as bounce: 550 no such user\n"
        "default: 2 listed, 1 added, 1 known already.\n"
    )
    shown = shop.run("suppressions").stdout
    assert "provider" in shown
    assert "listed by" in shown
    one = shop.run("suppressions", ADA).stdout
    assert "Listed by" in one
    assert "bounce" in one


def test_a_dry_run_says_what_would_be_added(shop: Shop) -> None:
    said = shop.run("sync-suppressions", "default", "--dry-run").stdout
    assert said.endswith("default: 2 listed, 2 would be added, 0 known already.\n")
    assert [*shop.outbox.suppressions()] == []


def test_what_was_removed_here_is_told(shop: Shop) -> None:
    shop.run("sync-suppressions")
    shop.run("unsuppress", ADA)
    assert shop.run("sync-suppressions").stdout == (
        "default: 2 listed, 0 added, 1 known already, 1 unsuppressed here since they "
        "were listed.\n"
    )


def test_results_are_printed_as_json(shop: Shop) -> None:
    assert shop.document("sync-suppressions", "--json") == {
        "dry_run": False,
        "transports": [
            {
                "transport": "default",
                "read": 2,
                "added": 2,
                "known": 0,
                "pardoned": 0,
                "unreadable": 0,
                "error": None,
            }
        ],
    }


def test_a_provider_in_trouble_is_an_error_of_code_1(
    shop: Shop, api: ListingSendGrid
) -> None:
    api.behave(PeerBehaviour.REJECT_ACCOUNT)
    result = shop.run("sync-suppressions", code=1)
    assert result.stderr.startswith(
        "Error: Could not read the suppressions of the transport default: "
    )
    assert "was answered 401" in result.stderr
    api.behave(PeerBehaviour.ACCEPT)
    api.throttles = [{"Retry-After": "3600"}]
    (told,) = shop.document("sync-suppressions", code=1)["transports"]
    assert told["error"].endswith("Try again in 3,600 seconds.")


def test_a_transport_without_a_list_is_an_error(shop: Shop) -> None:
    result = shop.run("sync-suppressions", "own", code=1)
    assert "The transport own has no suppression list" in result.stderr


def test_an_app_without_such_a_provider_is_told_so(make_shop: MakeShop) -> None:
    said = make_shop().run("sync-suppressions").stdout
    assert said.startswith("No transport has a provider")


# ------------------------------------------------------------------------- and back


def test_unsuppress_says_that_the_provider_may_have_a_list(shop: Shop) -> None:
    shop.run("sync-suppressions")
    shop.run("suppress", BOB, "--list", "news")
    assert "unsuppress --at-provider takes it off" in shop.run("unsuppress", ADA).stdout
    said = shop.run("unsuppress", BOB, "--list", "news").stdout
    assert said == f"{BOB}  taken off this list; still suppressed for all mail\n"


def test_unsuppress_takes_it_off_the_providers_list(
    shop: Shop, api: ListingSendGrid
) -> None:
    shop.run("sync-suppressions")
    said = shop.run("unsuppress", ADA, "--at-provider").stdout
    assert said == (
        f"{ADA}  may be mailed again; taken off its provider's list, too: default\n"
    )
    assert [one.address for one in api.entries] == [BOB]
    shop.run("suppress", ADA)
    said = shop.run("unsuppress", ADA, "--at-provider").stdout
    assert said == f"{ADA}  may be mailed again; no provider had it\n"


def test_a_provider_that_does_not_remove_it_is_named(
    shop: Shop, api: ListingSendGrid
) -> None:
    shop.run("sync-suppressions")
    api.behave(PeerBehaviour.REJECT_ACCOUNT)
    result = shop.run("unsuppress", ADA, "--at-provider", code=1)
    assert result.stderr.startswith(
        f"Error: Could not take {ADA} off the provider's list of the transport default:"
    )
    assert len([*shop.outbox.suppressions()]) == 2
    shop.run("unsuppress", ADA, "--at-provider", "--list", "news", code=2)
