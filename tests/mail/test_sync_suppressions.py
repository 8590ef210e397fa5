"""`sync_suppressions`: what providers list is suppressed here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_outbox import (
    ConfigError,
    Mail,
    Message,
    MessageError,
    SuppressionSync,
    TransportDown,
    signals,
)
from flask_outbox.testing.transport_contract import PeerBehaviour
from tests.transports.list_fakes import (
    BOUNCE,
    COMPLAINT,
    LONG_AGO,
    UNSUBSCRIBE,
    Entry,
    Listing,
    ListingMailgun,
    ListingPostmark,
    ListingSendGrid,
)

ADA, BOB, CY = "ada@example.org", "bob@example.org", "cy@example.org"

MakeMail = Callable[..., Mail]


@pytest.fixture
def make_mail(tmp_path: Path) -> Iterator[MakeMail]:
    """Makes the mail of an app without a courier that sends by the named providers."""
    contexts = []

    def make(default: Listing | str, **others: Listing) -> Mail:
        app = Flask("shop", instance_path=str(tmp_path))
        url = default if isinstance(default, str) else default.url()
        config: dict[str, Any] = {
            "MAIL_URL": url,
            "MAIL_TRANSPORTS": {name: one.url() for name, one in others.items()},
            "MAIL_DEFAULT_SENDER": "shop@example.com",
            "OUTBOX_URL": f"sqlite:///{tmp_path / 'outbox.db'}",
            "OUTBOX_ENGINE": "external",
        }
        app.config.update(config)
        mail = Mail(app)
        contexts.append(app.app_context())
        contexts[-1].push()
        return mail

    yield make
    for one in contexts:
        one.pop()


def listed(mail: Mail) -> dict[tuple[str, str], str]:
    return {(one.address, one.list): one.source for one in mail.suppressions()}


def test_what_a_provider_lists_is_suppressed_with_its_evidence(
    make_mail: MakeMail,
) -> None:
    entries = [
        Entry("Ada@Example.org", words="550 no such user"),
        Entry(BOB, COMPLAINT),
    ]
    with ListingSendGrid(*entries) as api:
        mail = make_mail(api)
        assert mail.sync_suppressions() == [SuppressionSync("default", 2, added=2)]
        ada, bob = mail.suppressions()
        receipt = mail.send(Message("Hi", [ADA], body="Hello"))
    assert (ada.address, ada.list, ada.source) == (ADA, "", "provider")
    assert ada.reason == "listed by sendgrid as bounce: 550 no such user"
    assert ada.evidence == {
        "transport": "default",
        "listed_for": "bounce",
        "at": LONG_AGO.timestamp(),
        "words": "550 no such user",
    }
    assert bob.reason == "listed by sendgrid as complaint"
    assert "listed by sendgrid" in receipt.suppressed[ADA]


def test_a_second_sync_adds_what_is_new_and_changes_nothing_else(
    make_mail: MakeMail,
) -> None:
    with ListingSendGrid(Entry(ADA), Entry(BOB)) as api:
        mail = make_mail(api)
        mail.suppress(ADA, reason="asked us")
        assert mail.sync_suppressions() == [
            SuppressionSync("default", 2, added=1, known=1)
        ]
        api.entries.append(Entry(CY))
        assert mail.sync_suppressions() == [
            SuppressionSync("default", 3, added=1, known=2)
        ]
    assert listed(mail) == {
        (ADA, ""): "api",
        (BOB, ""): "provider",
        (CY, ""): "provider",
    }


def test_what_was_listed_before_somebody_unsuppressed_it_stays_unsuppressed(
    make_mail: MakeMail,
) -> None:
    with ListingSendGrid(Entry(ADA)) as api:
        mail = make_mail(api)
        mail.sync_suppressions()
        assert mail.unsuppress(ADA)
        assert mail.sync_suppressions() == [SuppressionSync("default", 1, pardoned=1)]
        assert listed(mail) == {}
        later = datetime.now(UTC) + timedelta(minutes=1)
        api.entries = [Entry(ADA, at=later)]
        assert mail.sync_suppressions() == [SuppressionSync("default", 1, added=1)]


def test_a_dry_run_changes_nothing(make_mail: MakeMail) -> None:
    with ListingPostmark(Entry(ADA), Entry(BOB)) as api:
        mail = make_mail(api)
        mail.suppress(BOB)
        told: list[object] = []
        with signals.address_suppressed.connected_to(lambda _, **one: told.append(one)):
            assert mail.sync_suppressions(dry_run=True) == [
                SuppressionSync("default", 2, added=1, known=1)
            ]
        assert listed(mail) == {(BOB, ""): "api"}
        assert told == []


def test_an_address_listed_for_several_reasons_is_suppressed_once(
    make_mail: MakeMail,
) -> None:
    entries = [Entry(ADA, one) for one in (BOUNCE, COMPLAINT, UNSUBSCRIBE)]
    with ListingSendGrid(*entries) as api:
        mail = make_mail(api)
        assert mail.sync_suppressions() == [
            SuppressionSync("default", 3, added=1, known=2)
        ]
    assert listed(mail) == {(ADA, ""): "provider"}


def test_a_tag_of_mailguns_is_a_list_here(make_mail: MakeMail) -> None:
    with ListingMailgun(Entry(ADA, UNSUBSCRIBE, tag="news")) as api:
        mail = make_mail(api)
        mail.sync_suppressions()
    assert listed(mail) == {(ADA, "news"): "provider"}


def test_what_is_no_address_is_counted_and_left_out(make_mail: MakeMail) -> None:
    with ListingPostmark(Entry("nobody"), Entry(""), Entry(ADA)) as api:
        mail = make_mail(api)
        assert mail.sync_suppressions() == [
            SuppressionSync("default", 3, added=1, unreadable=2)
        ]


def test_an_impossible_time_keeps_nobody_from_being_suppressed(
    make_mail: MakeMail,
) -> None:
    before_the_epoch = datetime(1960, 1, 1, tzinfo=UTC)
    with ListingMailgun(Entry(ADA, at=before_the_epoch)) as api:
        mail = make_mail(api)
        mail.sync_suppressions()
    (one,) = mail.suppressions()
    assert one.evidence == {"transport": "default", "listed_for": "bounce"}


def test_five_thousand_are_added_in_sets_and_each_is_announced(
    make_mail: MakeMail,
) -> None:
    entries = [Entry(f"u{n}@example.org") for n in range(5_000)]
    with ListingPostmark(*entries) as api:
        mail = make_mail(api)
        told: list[str] = []

        def note(_: object, address: str, source: str, **__: object) -> None:
            assert source == "provider"
            told.append(address)

        with signals.address_suppressed.connected_to(note):
            assert mail.sync_suppressions() == [
                SuppressionSync("default", 5_000, added=5_000)
            ]
        assert len([*mail.suppressions()]) == 5_000
        assert sorted(told) == sorted(one.address for one in entries)


def test_all_transports_with_a_list_are_asked_or_one(make_mail: MakeMail) -> None:
    with ListingPostmark(Entry(ADA)) as first, ListingSendGrid(Entry(BOB)) as second:
        mail = make_mail("smtp://127.0.0.1:1", orders=first, news=second)
        assert mail.sync_suppressions("news") == [SuppressionSync("news", 1, added=1)]
        assert first.requests == []
        assert mail.sync_suppressions() == [
            SuppressionSync("orders", 1, added=1),
            SuppressionSync("news", 1, known=1),
        ]
        with pytest.raises(ConfigError, match="The transport default has no supp"):
            mail.sync_suppressions("default")


def test_what_was_read_before_trouble_stays_and_the_error_names_the_transport(
    make_mail: MakeMail,
) -> None:
    entries = [Entry(f"u{n}@example.org") for n in range(600)]
    with ListingSendGrid(*entries) as api:
        mail = make_mail(api)
        told: list[object] = []

        def break_off(_: object, **__: object) -> None:
            told.append(1)
            if len(told) == 300:
                api.behave(PeerBehaviour.DEFER)

        with (
            signals.address_suppressed.connected_to(break_off),
            pytest.raises(TransportDown, match="suppressions of the transport default"),
        ):
            mail.sync_suppressions()
        assert len([*mail.suppressions()]) == 500
        api.behave(PeerBehaviour.ACCEPT)
        assert mail.sync_suppressions() == [
            SuppressionSync("default", 600, added=100, known=500)
        ]


# ------------------------------------------------------------------ and removed there


def test_an_address_is_unsuppressed_at_all_providers_and_here(
    make_mail: MakeMail,
) -> None:
    both = [Entry("Ada@example.org"), Entry(BOB)]
    with ListingPostmark(*both) as first, ListingSendGrid(*both) as second:
        mail = make_mail("smtp://127.0.0.1:1", orders=first, news=second)
        mail.sync_suppressions()
        assert mail.unsuppress("Ada@example.org", at_provider=True)
        assert [one.address for one in first.entries + second.entries] == [BOB, BOB]
        assert listed(mail) == {(BOB, ""): "provider"}
        with pytest.raises(MessageError, match="leave out the list"):
            mail.unsuppress(BOB, list="news", at_provider=True)


def test_an_address_that_only_the_provider_lists_is_unsuppressed(
    make_mail: MakeMail,
) -> None:
    with ListingSendGrid(Entry(ADA)) as api:
        mail = make_mail(api)
        assert mail.unsuppress(ADA, at_provider=True)
        assert not mail.unsuppress(ADA, at_provider=True)


def test_nothing_changes_here_if_a_provider_does_not_remove_it(
    make_mail: MakeMail,
) -> None:
    with ListingPostmark(Entry(ADA, COMPLAINT)) as api:
        mail = make_mail(api)
        mail.sync_suppressions()
        with pytest.raises(
            TransportDown, match="provider's list of the transport default: Postmark k"
        ):
            mail.unsuppress(ADA, at_provider=True)
        assert listed(mail) == {(ADA, ""): "provider"}


def test_without_such_a_provider_there_is_an_error(make_mail: MakeMail) -> None:
    mail = make_mail("smtp://127.0.0.1:1")
    mail.suppress(ADA)
    with pytest.raises(ConfigError, match="own pages"):
        mail.unsuppress(ADA, at_provider=True)
    assert listed(mail) == {(ADA, ""): "api"}


def test_it_works_where_a_loop_runs(make_mail: MakeMail) -> None:
    with ListingSendGrid(Entry(ADA)) as api:
        mail = make_mail(api)

        async def view() -> list[SuppressionSync]:
            return mail.sync_suppressions()

        assert asyncio.run(view()) == [SuppressionSync("default", 1, added=1)]
