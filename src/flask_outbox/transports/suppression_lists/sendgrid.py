"""SendGrid: https://www.twilio.com/docs/sendgrid/api-reference/bounces-api."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from ..http.client import in_path
from ..suppression_list import ListedAddress, ListedFor
from .reading import PAGE, ApiSuppressionList, listed

_LISTS = {
    "/v3/suppression/bounces": ListedFor.BOUNCE,
    "/v3/suppression/invalid_emails": ListedFor.BOUNCE,
    "/v3/suppression/spam_reports": ListedFor.COMPLAINT,
    "/v3/suppression/unsubscribes": ListedFor.UNSUBSCRIBE,
}

GLOBAL = "/v3/asm/suppressions/global"
"""Where a global unsubscribe is deleted."""


class SendGridSuppressions(ApiSuppressionList):
    """Bounces, invalid addresses, complaints and global unsubscribes.

    Not its blocks, which keep nothing back, nor unsubscribes from its groups.
    """

    async def pages(self) -> AsyncIterator[Sequence[ListedAddress]]:
        """One list after the other."""
        for path, listed_for in _LISTS.items():
            offset = 0
            while True:
                query = {"limit": PAGE, "offset": offset}
                items = self.items(path, await self.ask_for(path, query))
                yield listed(items, listed_for, "email", "created", "reason")
                if len(items) < PAGE:
                    break
                offset += PAGE

    async def remove(self, address: str) -> bool:
        """Delete it from each list."""
        places = [*list(_LISTS)[:-1], GLOBAL]
        found = [await self.delete(f"{one}/{in_path(address)}") for one in places]
        return any(found)
