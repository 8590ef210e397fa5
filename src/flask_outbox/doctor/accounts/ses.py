"""SES: https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetAccount.html."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

from ...feedback.json_value import JsonValue
from ...transports.http.client import in_path
from .asking import Account, Senders, Told, record, with_parents

MAY_NOT_ASK = {"AccessDeniedException", "AccessDenied"}
"""The errors of a key that is known, and has no right to ask."""


def rejects(told: Told) -> bool:
    """SES answers 403 to unknown keys, as to those without the right to ask."""
    return told.status in (401, 403) and told.code not in MAY_NOT_ASK


async def examine(account: Account, senders: Senders) -> None:
    """The account in the region, and the identity of each sender."""
    told = await account.get("/v2/email/account")
    if account.can_see("Account", told):
        _check_account(account, told.said)
    for domain in senders.domains:
        await _check_sender(account, domain, senders.address_at(domain))


def _check_account(account: Account, said: JsonValue) -> None:
    health = said["EnforcementStatus"].text
    account.note("Account", health or "nothing about its health")
    if said["SendingEnabled"].raw is False or health == "SHUTDOWN":
        account.find_stopped(
            f"SES says EnforcementStatus {health}, SendingEnabled "
            f"{said['SendingEnabled'].text}."
        )
    if said["ProductionAccessEnabled"].raw is False:
        account.section.find(
            "api-sandbox",
            "SES says ProductionAccessEnabled False: only verified addresses get mail.",
            "Request production access in the SES console of this region.",
        )
    quota = said["SendQuota"]
    account.check_quota(
        "Quota of 24 h", quota["SentLast24Hours"], quota["Max24HourSend"]
    )
    if rate := quota["MaxSendRate"].text:
        account.note("Rate", f"{rate} a second")


async def _check_sender(account: Account, domain: str, address: str) -> None:
    """Check a domain by its identity, by that of one above it, or of the address."""
    for name in [*with_parents(domain), *filter(None, [address])]:
        told = await account.get(f"/v2/email/identities/{in_path(name)}")
        if told.status == HTTPStatus.NOT_FOUND:
            continue
        if account.can_see("Sender", told):
            _check_identity(account, name, told.said)
        return
    account.find_unknown(address or domain)


def _check_identity(account: Account, name: str, said: JsonValue) -> None:
    dkim = said["DkimAttributes"]
    status = dkim["Status"].text
    records = list(_records(name, dkim))
    if said["VerifiedForSendingStatus"].raw is False:
        state = said["VerificationStatus"].text or status
        account.find_unverified(name, f"SES says {state}", records)
        return
    account.note("Sender", f"{name} is verified")
    if "@" in name:
        account.find_unsigned(
            name.rpartition("@")[2], "SES has verified the address only"
        )
    elif status == "SUCCESS" and dkim["SigningEnabled"].raw is not False:
        account.note("DKIM", f"SES signs for {name}")
        account.section.signed.append(name)
    elif status in ("PENDING", "FAILED", "NOT_STARTED", "SUCCESS"):
        state = "signing is disabled" if status == "SUCCESS" else f"DKIM is {status}"
        account.find_unsigned(name, f"SES says that {state}", records)


def _records(name: str, dkim: JsonValue) -> Iterator[str]:
    """Those of Easy DKIM; a key of one's own has another record."""
    if dkim["SigningAttributesOrigin"].text == "EXTERNAL" or "@" in name:
        return
    zone = dkim["SigningHostedZone"].text or "dkim.amazonses.com"
    for token in dkim["Tokens"]:
        yield record(f"{token.text}._domainkey.{name}", "CNAME", f"{token.text}.{zone}")
