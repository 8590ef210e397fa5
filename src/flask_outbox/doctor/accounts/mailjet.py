"""Mailjet: https://dev.mailjet.com/email/reference/sender-addresses-and-domains/."""

from __future__ import annotations

from ...transports.http.client import in_path
from .asking import ELSEWHERE, Account, Senders, record, with_parents

MOST = 1000
"""How many senders are listed at a time."""


async def examine(account: Account, senders: Senders) -> None:
    """Each sender, and whether Mailjet signs for its domain."""
    told = await account.get("/v3/REST/sender", {"Limit": MOST})
    if account.can_see("Sender", told):
        states = {
            one["Email"].text.lower(): one["Status"].text for one in told.said["Data"]
        }
        for domain in senders.domains:
            await _check_sender(account, domain, senders.address_at(domain), states)
    account.note("Quota", ELSEWHERE)


async def _check_sender(
    account: Account, domain: str, address: str, states: dict[str, str]
) -> None:
    names = [*(f"*@{one}" for one in with_parents(domain)), address.lower()]
    found = {one: states[one] for one in names if one in states}
    if "Active" in found.values():
        name = next(one for one, state in found.items() if state == "Active")
        account.note("Sender", f"{name} is active")
        await _check_signature(account, domain)
    elif found:
        name, state = next(iter(found.items()))
        account.find_unverified(name, f"Mailjet says {state}")
    else:
        account.find_unknown(address or domain, is_whole=len(states) < MOST)


async def _check_signature(account: Account, domain: str) -> None:
    told = await account.get(f"/v3/REST/dns/{in_path(domain)}")
    if not account.can_see("DKIM", told):
        return
    (one, *_) = list(told.said["Data"]) or [told.said]
    status = one["DKIMStatus"].text
    account.note("DKIM", f"{domain}: {status or 'nothing said'}")
    if status == "OK":
        account.section.signed.append(domain)
    elif status == "Error":
        name, value = one["DKIMRecordName"].text, one["DKIMRecordValue"].text
        account.find_unsigned(
            domain,
            "Mailjet has not found the DKIM record",
            [record(name, "TXT", value)] if name and value else [],
        )
