"""Resend: https://resend.com/docs/api-reference/suppressions/list-suppressions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from ...feedback.json_value import JsonValue
from ..http.client import in_path
from ..suppression_list import ListedAddress, ListedFor
from .reading import ApiSuppressionList, seconds

PATH = "/suppressions"

PAGE = 100
"""How many entries are asked for at a time: the most that there can be."""

_ORIGINS = {"bounce": ListedFor.BOUNCE, "complaint": ListedFor.COMPLAINT}


class ResendSuppressions(ApiSuppressionList):
    """The list of the team."""

    async def pages(self) -> AsyncIterator[Sequence[ListedAddress]]:
        """Each page begins after the last entry of the one before."""
        query: dict[str, str | int] = {"limit": PAGE}
        while True:
            found = await self.ask_for(PATH, query)
            items = self.items(PATH, found["data"])
            yield [_listed(one) for one in items]
            last = items[-1]["id"].text if items else ""
            if not found["has_more"].is_true or last in ("", query.get("after")):
                return
            query["after"] = last

    async def remove(self, address: str) -> bool:
        """Delete it."""
        return await self.delete(f"{PATH}/{in_path(address)}")


def _listed(one: JsonValue) -> ListedAddress:
    return ListedAddress(
        one["email"].text,
        _ORIGINS.get(one["origin"].text, ListedFor.PERSON),
        seconds(one["created_at"]),
    )
