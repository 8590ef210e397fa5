"""Mailgun: https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/bounces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

from ...feedback.json_value import JsonValue
from ..http.api import ApiTransport
from ..http.client import as_query, in_path
from ..suppression_list import ListedAddress, ListedFor
from .reading import PAGE, ApiSuppressionList, listed, query_of, seconds

ALL_MAIL = "*"
"""The tag of whoever has unsubscribed from all mail of the domain."""


class MailgunSuppressions(ApiSuppressionList):
    """Bounces, complaints and unsubscribes of a sending domain."""

    def __init__(self, transport: ApiTransport, domain: str) -> None:
        super().__init__(transport)
        self._bounces = f"/v3/{domain}/bounces"
        self._complaints = f"/v3/{domain}/complaints"
        self._unsubscribes = f"/v3/{domain}/unsubscribes"

    async def pages(self) -> AsyncIterator[Sequence[ListedAddress]]:
        """One list after the other."""
        async for items in self._pages(self._bounces):
            yield listed(items, ListedFor.BOUNCE, "address", "created_at", "error")
        async for items in self._pages(self._complaints):
            yield listed(items, ListedFor.COMPLAINT, "address", "created_at")
        async for items in self._pages(self._unsubscribes):
            yield [entry for one in items for entry in _unsubscribes(one)]

    async def _pages(self, path: str) -> AsyncIterator[list[JsonValue]]:
        """Each page names the next. Of that URL only the query is used: the key goes
        nowhere but to the API.
        """
        query = as_query({"limit": PAGE})
        while True:
            found = await self.ask_for(path, query)
            items = self.items(path, found["items"])
            if not items:
                return
            yield items
            following = found["paging"]["next"].raw
            before, query = query, query_of(following)
            if query in ("", before):
                return

    async def remove(self, address: str) -> bool:
        """Delete it from each list, for all tags."""
        lists = (self._bounces, self._complaints, self._unsubscribes)
        found = [await self.delete(f"{one}/{in_path(address)}") for one in lists]
        return any(found)


def _unsubscribes(one: JsonValue) -> Iterator[ListedAddress]:
    """An entry for each tag."""
    tags = [tag.text for name in ("tag", "tags") for tag in one[name]] or [ALL_MAIL]
    for tag in [ALL_MAIL] if ALL_MAIL in tags else tags:
        yield ListedAddress(
            one["address"].text,
            ListedFor.UNSUBSCRIBE,
            seconds(one["created_at"]),
            for_tag="" if tag == ALL_MAIL else tag,
        )
