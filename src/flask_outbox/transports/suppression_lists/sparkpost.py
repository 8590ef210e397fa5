"""SparkPost: https://developers.sparkpost.com/api/suppression-list/."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from ...feedback.json_value import JsonValue
from ..http.client import as_query, in_path
from ..suppression_list import ListedAddress, ListedFor
from .reading import PAGE, ApiSuppressionList, query_of, seconds

PATH = "/api/v1/suppression-list"

OTHER_MAIL = "transactional"
"""The type of entries that stop only mail that is marked as transactional, which ours
is not."""

_SOURCES = {
    "Bounce Rule": ListedFor.BOUNCE,
    "Spam Complaint": ListedFor.COMPLAINT,
    "List Unsubscribe": ListedFor.UNSUBSCRIBE,
    "Unsubscribe Link": ListedFor.UNSUBSCRIBE,
}


class SparkPostSuppressions(ApiSuppressionList):
    """The list of the account, or of the subaccount whose key it is."""

    async def pages(self) -> AsyncIterator[Sequence[ListedAddress]]:
        """Each page links to the next, by a cursor."""
        query = as_query({"cursor": "initial", "per_page": PAGE})
        while True:
            found = await self.ask_for(PATH, query)
            items = self.items(PATH, found["results"])
            yield [_listed(one) for one in items if one["type"].text != OTHER_MAIL]
            links = [one for one in found["links"] if one["rel"].text == "next"]
            before, query = query, query_of(links[0]["href"].raw) if links else ""
            if not items or query in ("", before):
                return

    async def remove(self, address: str) -> bool:
        """Delete it, for mail of all types; SparkPost keeps what its staff added."""
        return await self.delete(f"{PATH}/{in_path(address)}")


def _listed(one: JsonValue) -> ListedAddress:
    return ListedAddress(
        one["recipient"].text,
        _SOURCES.get(one["source"].text, ListedFor.PERSON),
        seconds(one["created"]),
        one["description"].text,
    )
