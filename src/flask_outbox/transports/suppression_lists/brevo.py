"""Brevo: https://developers.brevo.com/reference/get-transac-blocked-contacts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from ...feedback.json_value import JsonValue
from ..http.client import in_path
from ..suppression_list import ListedAddress, ListedFor
from .reading import ApiSuppressionList, seconds

PATH = "/v3/smtp/blockedContacts"

PAGE = 100
"""How many entries are asked for at a time: the most that there can be."""

_REASONS = {
    "hardBounce": ListedFor.BOUNCE,
    "contactFlaggedAsSpam": ListedFor.COMPLAINT,
    "unsubscribedViaMA": ListedFor.UNSUBSCRIBE,
    "unsubscribedViaEmail": ListedFor.UNSUBSCRIBE,
    "unsubscribedViaApi": ListedFor.UNSUBSCRIBE,
    "adminBlocked": ListedFor.PERSON,
}


class BrevoSuppressions(ApiSuppressionList):
    """The contacts that are blocked for transactional mail, whoever is the sender."""

    async def pages(self) -> AsyncIterator[Sequence[ListedAddress]]:
        """The oldest first, so that what is added meanwhile moves nothing."""
        offset = 0
        while True:
            query: dict[str, str | int] = {"limit": PAGE, "offset": offset}
            query["sort"] = "asc"
            found = await self.ask_for(PATH, query)
            if found["count"].text == "0":
                return
            items = self.items(PATH, found["contacts"])
            yield [_listed(one) for one in items]
            if len(items) < PAGE:
                return
            offset += PAGE

    async def remove(self, address: str) -> bool:
        """Unblock it."""
        return await self.delete(f"{PATH}/{in_path(address)}")


def _listed(one: JsonValue) -> ListedAddress:
    reason = one["reason"]
    return ListedAddress(
        one["email"].text,
        _REASONS.get(reason["code"].text, ListedFor.PERSON),
        seconds(one["blockedAt"]),
        reason["message"].text,
    )
