"""Postmark: https://postmarkapp.com/developer/api/server-api."""

from __future__ import annotations

from .asking import Account, Senders


async def examine(account: Account, senders: Senders) -> None:
    """The server that the token belongs to."""
    told = await account.get("/server")
    if account.can_see("Server", told):
        name, kind = told.said["Name"].text, told.said["DeliveryType"].text
        account.note("Server", f"{name}, {kind or 'Live'}")
        if kind == "Sandbox":
            account.section.find(
                "api-sandbox",
                f"The server {name!r} has DeliveryType Sandbox: nothing is delivered.",
                "Use the token of a server that is Live.",
            )
    account.note("Sender", "only the account's token sees it, but a server's is used")
    account.note("Quota", "only the account's token sees it")
