"""SparkPost: https://developers.sparkpost.com/api/account/, and its Sending Domains."""

from __future__ import annotations

from http import HTTPStatus

from ...feedback.json_value import JsonValue
from ...transports.http.client import in_path
from .asking import Account, Senders, record, with_parents


async def examine(account: Account, senders: Senders) -> None:
    """The account with its usage, and the domain of each sender."""
    told = await account.get("/api/v1/account", {"include": "usage"})
    if account.can_see("Account", told):
        _check_account(account, told.said["results"])
    for domain in senders.domains:
        await _check_sender(account, domain)


def _check_account(account: Account, found: JsonValue) -> None:
    status = found["status"].text
    account.note("Account", status or "nothing about its status")
    if status in ("suspended", "terminated"):
        account.find_stopped(f"SparkPost says that the account is {status}.")
    day, month = found["usage"]["day"], found["usage"]["month"]
    account.check_quota("Quota of the day", day["used"], day["limit"])
    account.check_quota(
        "Quota of the month", month["used"], month["limit"], ends_mail=False
    )


async def _check_sender(account: Account, domain: str) -> None:
    for name in with_parents(domain):
        told = await account.get(f"/api/v1/sending-domains/{in_path(name)}")
        if told.status == HTTPStatus.NOT_FOUND:
            continue
        if account.can_see("Sender", told):
            _check_domain(account, name, told.said["results"])
        return
    account.find_unknown(domain)


def _check_domain(account: Account, name: str, found: JsonValue) -> None:
    status, dkim = found["status"], found["dkim"]
    records = []
    if (selector := dkim["selector"].text) and dkim["public"].text:
        signer = dkim["signing_domain"].text or name
        text = f"v=DKIM1; k=rsa; h=sha256; p={dkim['public'].text}"
        records = [record(f"{selector}._domainkey.{signer}", "TXT", text)]
    if status["compliance_status"].text == "blocked":
        account.find_stopped(f"SparkPost has blocked {name}.")
    elif status["ownership_verified"].raw is False:
        account.find_unverified(name, "SparkPost has not verified it", records)
    elif status["dkim_status"].text != "valid":
        said = f"SparkPost says that DKIM is {status['dkim_status'].text}"
        account.find_unsigned(name, said, records)
    else:
        account.note_signed(name, f"{name} is verified")
