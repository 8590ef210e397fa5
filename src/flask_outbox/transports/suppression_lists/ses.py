"""SES: https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_ListSuppressedDestinations.html."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from ...feedback.json_value import JsonValue
from ..http.client import in_path
from ..suppression_list import ListedAddress, ListedFor
from .reading import ApiSuppressionList, seconds

PATH = "/v2/email/suppression/addresses"

PAGE = 100
"""How many entries are asked for at a time."""

_REASONS = {"BOUNCE": ListedFor.BOUNCE, "COMPLAINT": ListedFor.COMPLAINT}


class SesSuppressions(ApiSuppressionList):
    """The list of the account in a region, not that of all of SES."""

    async def pages(self) -> AsyncIterator[Sequence[ListedAddress]]:
        """Each page has the token of the next."""
        query: dict[str, str | int] = {"PageSize": PAGE}
        while True:
            found = await self.ask_for(PATH, query)
            items = self.items(PATH, found["SuppressedDestinationSummaries"])
            yield [_listed(one) for one in items]
            token = found["NextToken"].raw
            if not isinstance(token, str) or token in ("", query.get("NextToken")):
                return
            query["NextToken"] = token

    async def remove(self, address: str) -> bool:
        """Delete it."""
        return await self.delete(f"{PATH}/{in_path(address)}")


def _listed(one: JsonValue) -> ListedAddress:
    return ListedAddress(
        one["EmailAddress"].text,
        _REASONS.get(one["Reason"].text, ListedFor.PERSON),
        seconds(one["LastUpdateTime"]),
    )
