"""Postmark: https://postmarkapp.com/developer/api/suppressions-api."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta

from ...errors import AccountTrouble, TransportDown
from ...feedback.json_value import JsonValue
from ..http.api import ApiTransport
from ..http.client import in_path
from ..suppression_list import ListedAddress, ListedFor
from .reading import ApiSuppressionList, LongAnswer, seconds

FIRST_DAY = date(2009, 1, 1)
"""Before Postmark was there."""

_REASONS = {
    "HardBounce": ListedFor.BOUNCE,
    "SpamComplaint": ListedFor.COMPLAINT,
    "ManualSuppression": ListedFor.PERSON,
}


class PostmarkSuppressions(ApiSuppressionList):
    """The list of a message stream.

    Postmark has no pages, but can be asked for some days: an answer that is too long is
    asked for again in two halves.
    """

    def __init__(self, transport: ApiTransport, stream: str) -> None:
        super().__init__(transport)
        self._path = f"/message-streams/{in_path(stream)}/suppressions"

    async def pages(self) -> AsyncIterator[Sequence[ListedAddress]]:
        """The whole list, or those of as many days as fit into an answer."""
        last_day = datetime.now(UTC).date() + timedelta(days=1)
        left = [(FIRST_DAY, last_day)]
        while left:
            first, last = left.pop()
            try:
                yield await self._between(first, last)
            except LongAnswer as error:
                if first == last:
                    raise TransportDown(
                        f"Postmark lists more addresses for {first} than can be read "
                        "at once."
                    ) from error
                middle = first + (last - first) // 2
                left += [(middle + timedelta(days=1), last), (first, middle)]

    async def _between(self, first: date, last: date) -> Sequence[ListedAddress]:
        path = f"{self._path}/dump"
        query = {"fromdate": str(first), "todate": str(last)}
        found = await self.ask_for(path, query)
        return [_listed(one) for one in self.items(path, found["Suppressions"])]

    async def remove(self, address: str) -> bool:
        """Delete it; Postmark deletes none of a complaint."""
        path = f"{self._path}/delete"
        body = {"Suppressions": [{"EmailAddress": address}]}
        found = self.understood(path, await self.ask("POST", path, body=body))
        (one, *_) = self.items(path, found["Suppressions"]) or [JsonValue(None)]
        if one["Status"].text != "Deleted":
            raise AccountTrouble(
                f"Postmark keeps it: {one['Message'].text or 'it does not say why'}"
            )
        return True


def _listed(one: JsonValue) -> ListedAddress:
    reason, origin = one["SuppressionReason"].text, one["Origin"].text
    listed_for = _REASONS.get(reason, ListedFor.PERSON)
    if reason == "ManualSuppression" and origin == "Recipient":
        listed_for = ListedFor.UNSUBSCRIBE
    return ListedAddress(
        one["EmailAddress"].text, listed_for, seconds(one["CreatedAt"])
    )
