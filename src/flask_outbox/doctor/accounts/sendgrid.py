"""SendGrid: https://www.twilio.com/docs/sendgrid/api-reference/api-key-permissions."""

from __future__ import annotations

from collections.abc import Iterator

from ...feedback.json_value import JsonValue
from .asking import Account, Senders, entry_for, number, record, with_parents


async def examine(account: Account, senders: Senders) -> None:
    """What the key may, the credits, and the domain of each sender."""
    scopes = await account.get("/v3/scopes")
    if account.can_see("Scopes", scopes):
        names = {one.text for one in scopes.said["scopes"]}
        account.note("Scopes", f"{len(names)}, {_may_send(names)}")
        if "mail.send" not in names:
            account.section.find(
                "api-may-not-send",
                "The scopes of the key do not include mail.send.",
                "Give the key Mail Send in SendGrid's pages, or make one that has it.",
            )
    await _check_credits(account)
    await _check_senders(account, senders)


def _may_send(names: set[str]) -> str:
    return "among them mail.send" if "mail.send" in names else "without mail.send"


async def _check_credits(account: Account) -> None:
    told = await account.get("/v3/user/credits")
    if not account.can_see("Credits", told):
        return
    total, remain = number(told.said["total"]), number(told.said["remain"])
    if total is not None and remain is not None:
        used = JsonValue(total - remain)
        account.check_quota("Credits", used, told.said["total"], ends_mail=False)


async def _check_senders(account: Account, senders: Senders) -> None:
    for domain in senders.domains:
        entry = None
        for name in with_parents(domain):
            told = await account.get("/v3/whitelabel/domains", {"domain": name})
            if not account.can_see("Sender", told):
                return
            is_page = isinstance(told.said.raw, dict)
            entries = told.said["result"] if is_page else told.said
            entry = entry or entry_for(name, entries, "domain")
        if entry is not None and entry["valid"].is_true:
            name = entry["domain"].text
            account.note_signed(name, f"{name} is authenticated")
        else:
            await _check_address(account, domain, senders.address_at(domain), entry)


async def _check_address(
    account: Account, domain: str, address: str, entry: JsonValue | None
) -> None:
    """Check a sender whose domain is not authenticated: an address may be verified."""
    records = [] if entry is None else list(_records(entry))
    told = await account.get("/v3/verified_senders")
    if not account.can_see("Sender", told):
        return
    verified = {
        one["from_email"].text.lower()
        for one in told.said["results"]
        if one["verified"].is_true
    }
    if address.lower() in verified:
        account.note("Sender", f"{address} is verified")
        account.find_unsigned(domain, "the domain is not authenticated", records)
    elif entry is not None:
        account.find_unverified(domain, "SendGrid has not found its records", records)
    else:
        account.find_unknown(address or domain)


def _records(entry: JsonValue) -> Iterator[str]:
    found = entry["dns"].raw
    for one in found.values() if isinstance(found, dict) else ():
        row = JsonValue(one)
        if not row["valid"].is_true and row["host"].text:
            yield record(row["host"].text, row["type"].text, row["data"].text)
