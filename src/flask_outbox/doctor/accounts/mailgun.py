"""Mailgun: https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/domains."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

from ...feedback.json_value import JsonValue
from ...transports.http.client import in_path
from .asking import ELSEWHERE, Account, Senders, record


async def examine(account: Account, senders: Senders) -> None:
    """The sending domain in the URL."""
    name = account.settings.path
    told = await account.get(f"/v4/domains/{in_path(name)}")
    if told.status == HTTPStatus.NOT_FOUND:
        account.find_unknown(name)
    elif account.can_see("Domain", told):
        _check_domain(account, name, told.said)
    account.note("Quota", ELSEWHERE)


def _check_domain(account: Account, name: str, said: JsonValue) -> None:
    domain = said["domain"]
    state = domain["state"].text
    account.note("Domain", f"{name} is {state or 'known'}")
    if domain["type"].text == "sandbox":
        account.section.find(
            "api-sandbox",
            f"{name} is a sandbox domain: only authorized recipients get mail.",
            "Add a domain of your own in Mailgun's pages, and name it in MAIL_URL.",
        )
    records = list(_records(said))
    if state == "disabled" or domain["is_disabled"].is_true:
        account.find_stopped(f"{name} is disabled.")
    elif state == "unverified":
        account.find_unverified(name, "Mailgun says unverified", records)
    elif unsigned := [one for one in records if "._domainkey." in one]:
        account.find_unsigned(name, "Mailgun has not found the DKIM record", unsigned)
    elif state == "active":
        account.section.signed.append(name)


def _records(said: JsonValue) -> Iterator[str]:
    """Those of SPF and DKIM that Mailgun has not found."""
    for one in said["sending_dns_records"]:
        is_needed = (
            one["record_type"].text == "TXT" and one["is_active"].raw is not False
        )
        if is_needed and one["valid"].text != "valid":
            yield record(one["name"].text, "TXT", one["value"].text)
