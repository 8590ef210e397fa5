"""MailerSend: https://developers.mailersend.com/api/v1/domains.html."""

from __future__ import annotations

from ...feedback.json_value import JsonValue
from ...transports.http.client import in_path
from .asking import Account, Senders, entry_for, number, record

MOST = 100
"""How many domains are listed at a time."""


async def examine(account: Account, senders: Senders) -> None:
    """The quota of requests, and the domain of each sender."""
    await _check_quota(account)
    told = await account.get("/v1/domains", {"limit": MOST})
    if account.can_see("Sender", told):
        for domain in senders.domains:
            await _check_sender(account, domain, told.said["data"])


async def _check_quota(account: Account) -> None:
    told = await account.get("/v1/api-quota")
    if not account.can_see("Quota", told):
        return
    total, left = number(told.said["quota"]), number(told.said["remaining"])
    if total is not None and left is not None:
        used = JsonValue(total - left)
        account.check_quota("Requests of the day", used, told.said["quota"])


async def _check_sender(account: Account, domain: str, entries: JsonValue) -> None:
    entry = entry_for(domain, entries, "name")
    if entry is None:
        account.find_unknown(domain, is_whole=len(list(entries)) < MOST)
        return
    name = entry["name"].text
    if entry["domain_settings"]["send_paused"].is_true:
        account.find_stopped(f"Sending from {name} is paused.")
    if entry["is_verified"].raw is False:
        records = await _records(account, entry["id"].text)
        account.find_unverified(name, "MailerSend has not verified it", records)
    elif entry["dkim"].raw is False:
        records = await _records(account, entry["id"].text)
        account.find_unsigned(name, "MailerSend has not found the record", records)
    else:
        account.note_signed(name, f"{name} is verified")


async def _records(account: Account, id: str) -> list[str]:
    told = await account.get(f"/v1/domains/{in_path(id)}/dns-records")
    found = (told.said["data"][one] for one in ("spf", "dkim", "return_path"))
    return [
        record(one["hostname"].text, one["type"].text, one["value"].text)
        for one in found
        if one["hostname"].text
    ]
