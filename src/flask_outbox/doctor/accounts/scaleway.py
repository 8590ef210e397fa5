"""Scaleway: https://www.scaleway.com/en/developers/api/transactional-email/."""

from __future__ import annotations

from ...feedback.json_value import JsonValue
from .asking import ELSEWHERE, Account, Senders, entry_for, record

LOCKED, CHECKED, REVOKED = "locked", "checked", "revoked"

MOST = 100
"""How many domains are listed at a time."""


async def examine(account: Account, senders: Senders) -> None:
    """The domain of each sender in the project."""
    options = account.settings.options
    told = await account.get(
        f"/transactional-email/v1alpha1/regions/{options['region']}/domains",
        {"project_id": options["project"], "page_size": MOST},
    )
    if account.can_see("Sender", told):
        for domain in senders.domains:
            _check_sender(account, domain, told.said["domains"])
    account.note("Quota", ELSEWHERE)


def _check_sender(account: Account, domain: str, entries: JsonValue) -> None:
    entry = entry_for(domain, entries, "name")
    if entry is None or entry["status"].text == REVOKED:
        account.find_unknown(domain, is_whole=len(list(entries)) < MOST)
        return
    name, status = entry["name"].text, entry["status"].text
    if status == LOCKED:
        account.find_stopped(f"Scaleway has locked {name}.")
    elif status == CHECKED:
        account.note_signed(name, f"{name} is {CHECKED}")
    else:
        project, dkim = account.settings.options["project"], entry["dkim_config"].text
        place = f"{project}._domainkey.{name}"
        said = f"Scaleway says {status} {entry['last_error'].text}".rstrip()
        records = [record(place, "TXT", dkim)] if dkim else []
        account.find_unverified(name, said.rstrip("."), records)
