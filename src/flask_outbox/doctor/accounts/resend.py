"""Resend: https://resend.com/docs/api-reference/domains/list-domains."""

from __future__ import annotations

from ...feedback.json_value import JsonValue
from ...transports.http.client import in_path
from .asking import ELSEWHERE, Account, Senders, Told, entry_for, is_unauthorized

MAY_ONLY_SEND = "restricted_api_key"
"""The error of a key that is known, and may do nothing but send."""

VERIFIED = {"verified", "partially_verified"}


def rejects(told: Told) -> bool:
    """Resend answers 401 to a key that may only send, too."""
    return is_unauthorized(told) and told.code != MAY_ONLY_SEND


async def examine(account: Account, senders: Senders) -> None:
    """The domain of each sender."""
    told = await account.get("/domains", {"limit": 100})
    if account.can_see("Sender", told):
        for domain in senders.domains:
            await _check_sender(account, domain, told.said)
    account.note("Quota", ELSEWHERE)


async def _check_sender(account: Account, domain: str, said: JsonValue) -> None:
    entry = entry_for(domain, said["data"], "name")
    if entry is None:
        account.find_unknown(domain, is_whole=not said["has_more"].is_true)
        return
    name, status = entry["name"].text, entry["status"].text
    if status in VERIFIED:
        account.note_signed(name, f"{name} is {status}")
    else:
        records = await _records(account, entry["id"].text)
        account.find_unverified(name, f"Resend says {status}", records)


async def _records(account: Account, id: str) -> list[str]:
    """The records of a domain that are not verified, with names as Resend has them."""
    told = await account.get(f"/domains/{in_path(id)}")
    return [
        " ".join(
            filter(
                None,
                (
                    one["name"].text,
                    one["type"].text,
                    one["priority"].text,
                    one["value"].text,
                ),
            )
        )
        for one in told.said["records"]
        if one["status"].text != "verified"
    ]
