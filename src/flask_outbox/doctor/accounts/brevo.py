"""Brevo: https://developers.brevo.com/reference/get-account, and its get-domains."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

from ...feedback.json_value import JsonValue
from ...transports.http.client import in_path
from .asking import Account, Senders, number, record, with_parents

NOT_THERE = {HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST}


async def examine(account: Account, senders: Senders) -> None:
    """The account with its credits, and the domain of each sender."""
    told = await account.get("/v3/account")
    if account.can_see("Account", told):
        _check_account(account, told.said)
    for domain in senders.domains:
        await _check_sender(account, domain, senders.address_at(domain))


def _check_account(account: Account, said: JsonValue) -> None:
    if said["relay"]["enabled"].raw is False:
        account.find_stopped("Brevo says that transactional mail is not enabled.")
    plans = [one for one in said["plan"] if one["creditsType"].text == "sendLimit"]
    left = [found for one in plans if (found := number(one["credits"])) is not None]
    if not left:
        return
    account.note("Credits", f"{sum(left):,.0f} left")
    if sum(left) <= 0:
        account.section.find(
            "api-quota-used",
            "Brevo says that no credits are left.",
            "Wait until they are renewed, or buy more.",
        )


async def _check_sender(account: Account, domain: str, address: str) -> None:
    for name in with_parents(domain):
        told = await account.get(f"/v3/senders/domains/{in_path(name)}")
        if told.status in NOT_THERE:
            continue
        if account.can_see("Sender", told):
            _check_domain(account, name, told.said)
        return
    await _check_address(account, domain, address)


def _check_domain(account: Account, name: str, said: JsonValue) -> None:
    if said["authenticated"].is_true:
        account.note_signed(name, f"{name} is authenticated")
    else:
        records = list(_records(name, said))
        account.find_unsigned(name, "Brevo has not authenticated it", records)


async def _check_address(account: Account, domain: str, address: str) -> None:
    told = await account.get("/v3/senders", {"domain": domain})
    if not account.can_see("Sender", told):
        return
    active = {
        one["email"].text.lower(): one["active"].is_true for one in told.said["senders"]
    }
    if active.get(address.lower()):
        account.note("Sender", f"{address} is verified")
        account.find_unsigned(domain, "Brevo knows the address, but not the domain")
    elif address.lower() in active:
        account.find_unverified(address, "Brevo has not verified it")
    else:
        account.find_unknown(address or domain)


def _records(name: str, said: JsonValue) -> Iterator[str]:
    """The records of a domain that Brevo has not found; their names are below it."""
    found = said["dns_records"].raw
    for one in found.values() if isinstance(found, dict) else ():
        row = JsonValue(one)
        if row["status"].raw is False and row["value"].text:
            place = ".".join(filter(None, [row["host_name"].text.strip(".@"), name]))
            yield record(place, row["type"].text, row["value"].text)
