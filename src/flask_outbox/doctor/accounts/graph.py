"""Microsoft Graph: https://learn.microsoft.com/graph/api/user-get."""

from __future__ import annotations

from http import HTTPStatus

from ...transports.http.client import in_path
from .asking import ELSEWHERE, Account, Senders


async def examine(account: Account, senders: Senders) -> None:
    """The mailbox; a token that may only send (Mail.Send) does not see it."""
    mailbox = account.settings.options["mailbox"]
    told = await account.get(
        f"/v1.0/users/{in_path(mailbox)}", {"$select": "mail,userPrincipalName"}
    )
    if told.status == HTTPStatus.NOT_FOUND:
        account.section.find(
            "api-sender-unknown",
            f"There is no mailbox {mailbox} in the tenant.",
            "Correct the mailbox in MAIL_URL.",
        )
    elif account.can_see("Mailbox", told):
        account.note("Mailbox", told.said["mail"].text or mailbox)
    account.note("Permissions", "only a mail shows whether the token may send")
    account.note("Quota", ELSEWHERE)
