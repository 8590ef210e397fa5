"""Gmail: https://developers.google.com/workspace/gmail/api/reference/rest/v1/users/getProfile."""

from __future__ import annotations

from .asking import ELSEWHERE, Account, Senders

NOT_ENABLED = {"accessNotConfigured", "SERVICE_DISABLED"}
"""The errors of a project in which nobody has enabled the Gmail API."""


async def examine(account: Account, senders: Senders) -> None:
    """The mailbox of the token; one that may only send shows no more than itself."""
    told = await account.get("/gmail/v1/users/me/profile")
    if told.code in NOT_ENABLED:
        account.section.find(
            "api-may-not-send",
            f"Gmail says: {told.words}.",
            "Enable the Gmail API in the Google Cloud project of the token.",
        )
    elif account.can_see("Mailbox", told):
        account.note("Mailbox", told.said["emailAddress"].text)
    account.note("Scopes", "only a mail shows whether the token may send")
    account.note("Quota", ELSEWHERE)
