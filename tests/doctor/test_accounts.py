"""What providers say of accounts: each fault is found, and a good one is clean."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flask_outbox.doctor import Section
from flask_outbox.doctor.accounts import Senders
from flask_outbox.doctor.api import examine_api
from flask_outbox.transports import registry
from flask_outbox.transports.postmark import PostmarkTransport
from tests.doctor.accounts import (
    GMAIL,
    GRAPH,
    MAILGUN,
    POSTMARK,
    PROVIDERS,
    SES,
    SES_IDENTITY,
    TOKEN,
    Provider,
    account_of,
)
from tests.doctor.conftest import MakeShop, Serve
from tests.doctor.patient import Records, examined, finding, ids, seen, spf
from tests.servers import JournalSmtp
from tests.servers.dns import Zone
from tests.transports.list_fakes import ListingPostmark

ALL_INCLUDED: Zone = {
    "example.com": spf(
        "v=spf1 include:_spf.google.com include:spf.protection.outlook.com -all"
    ),
    "_spf.google.com": [("TXT", "v=spf1 ip4:192.0.2.10 -all")],
    "spf.protection.outlook.com": [("TXT", "v=spf1 ip4:192.0.2.10 -all")],
}
"""The domain's records, whoever delivers."""

SHOP = Senders(("example.com",), "shop@example.com")


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda one: one.api.scheme)
def test_an_account(
    make_shop: MakeShop, serve: Serve, subtests: pytest.Subtests, provider: Provider
) -> None:
    dns = serve(ALL_INCLUDED)
    with account_of(provider.api, provider.routes) as api:
        shop = make_shop(MAIL_URL=api.url(**provider.options))
        document = examined(shop, "--nameserver", dns.place)
        assert ids(document) == set()
        assert TOKEN not in str(document)
        assert provider.sees.items() <= seen(document, "transport").items()
        for ill in provider.ill:
            with subtests.test(id=ill.id, words=ill.words):
                api.routes = {**provider.routes, **ill.changes}  # type: ignore[attr-defined]
                section = Section("transport", "default")
                settings = shop.runtime.settings.default
                asyncio.run(examine_api(section, settings, SHOP, 20))
                assert [one.id for one in section.findings] == list(
                    filter(None, [ill.id])
                )
                shown = [one.words for one in section.seen]
                if ill.id:
                    (found,) = section.findings
                    shown = [found.saw, found.todo, found.write]
                assert ill.words in " ".join(shown)
                for secret in (*api.secrets, TOKEN):
                    assert secret not in repr(section)
        assert api.taken == []


def test_the_domain_above_may_be_set_up_for_a_sender(
    make_shop: MakeShop, serve: Serve
) -> None:
    news: Records = spf("v=spf1 ip4:192.0.2.10 -all")
    dns = serve({"news.example.com": news})
    with account_of(SES.api, SES.routes) as api:
        shop = make_shop(
            MAIL_URL=api.url(**SES.options), MAIL_DEFAULT_SENDER="a@news.example.com"
        )
        document = examined(shop, "--nameserver", dns.place)
        assert "api-sender-unknown" not in ids(document)
        assert seen(document, "transport")["Sender"] == "example.com is verified"


def test_each_given_domain_is_looked_for(make_shop: MakeShop, serve: Serve) -> None:
    with account_of(SES.api, {**SES.routes}) as api:
        shop = make_shop(MAIL_URL=api.url(**SES.options))
        document = examined(
            shop, "--nameserver", serve().place, "--domain", "example.net"
        )
        saw = finding(document, "api-sender-unknown")["saw"]
        assert saw.startswith("example.net is not among")


def test_several_records_stand_on_a_line_each(
    make_shop: MakeShop, serve: Serve
) -> None:
    unverified = {**SES_IDENTITY, "VerifiedForSendingStatus": False}
    routes = {**SES.routes, "/v2/email/identities/example.com": unverified}
    with account_of(SES.api, routes) as api:
        shop = make_shop(MAIL_URL=api.url(**SES.options))
        result = shop.run("doctor", "--nameserver", serve().place, code=1)
        lines = result.stdout.splitlines()
        for token in ("abc", "def", "ghi"):
            name, value = f"{token}._domainkey.example.com.", "dkim.amazonses.com."
            assert f"Write {name} CNAME {token}.{value}" in lines


def dkim_rule(document: Any) -> bool | None:
    """Whether the verdict sees a signature; None if it cannot tell."""
    (verdict,) = document["verdicts"]
    (rule,) = (one for one in verdict["rules"] if one["words"] == "DKIM")
    kept: bool | None = rule["kept"]
    return kept


@pytest.mark.parametrize(
    "provider",
    [one for one in PROVIDERS if one not in (GMAIL, GRAPH, MAILGUN, POSTMARK)],
    ids=lambda one: one.api.scheme,
)
def test_a_provider_that_signs_counts_in_the_verdict(
    make_shop: MakeShop, serve: Serve, provider: Provider
) -> None:
    with account_of(provider.api, provider.routes) as api:
        shop = make_shop(MAIL_URL=api.url(**provider.options), MAIL_DKIM_KEYS=None)
        document = examined(shop, "--nameserver", serve().place)
        assert ids(document) == set()
        assert dkim_rule(document) is True
        assert seen(document, "domain")["DKIM"] == "the provider signs for example.com"


def test_a_signature_counts_if_all_transports_make_it(
    make_shop: MakeShop, serve: Serve, server: JournalSmtp
) -> None:
    with account_of(SES.api, SES.routes) as api:
        shop = make_shop(
            MAIL_URL=api.url(**SES.options),
            MAIL_DKIM_KEYS=None,
            MAIL_TRANSPORTS={"bulk": f"smtp://{server.host}:{server.port}"},
        )
        document = examined(shop, "--nameserver", serve().place)
        assert ids(document) == {"dkim-elsewhere"}
        assert dkim_rule(document) is None


@pytest.mark.parametrize("is_known", [True, False])
def test_a_transport_of_another_package_reads_its_list(
    make_shop: MakeShop,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    is_known: bool,
) -> None:
    monkeypatch.setitem(registry._found, "acme", PostmarkTransport)
    with ListingPostmark() as api:
        if not is_known:
            api.answers = POSTMARK_DENIES
        url = api.url().replace("postmark://", "acme://")
        document = examined(make_shop(MAIL_URL=url), "--nameserver", serve().place)
        if is_known:
            assert ids(document) == set()
            assert "suppression list" in seen(document, "transport")["Key"]
        else:
            assert ids(document) == {"api-key-rejected"}
            assert api.username not in str(document)


POSTMARK_DENIES = ListingPostmark.numbered(401, 10, "Bad token.")
