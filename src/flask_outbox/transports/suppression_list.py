"""The contract of a provider's own list of addresses that it sends nothing to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class ListedFor(StrEnum):
    """Why a provider lists an address."""

    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    UNSUBSCRIBE = "unsubscribe"
    PERSON = "person"
    """Somebody put it there, by hand or by the API."""


@dataclass(frozen=True, slots=True)
class ListedAddress:
    """One entry of a provider's list, as the provider wrote it."""

    address: str
    listed_for: ListedFor
    at: float | None
    """Since when, in epoch seconds; None if the provider does not say."""
    words: str = ""
    """What the provider says of it, such as the reply of a server."""
    for_tag: str = ""
    """The tag of the mail that is stopped; "" for all mail."""


class SuppressionList(ABC):
    """The list of addresses to which a provider silently sends nothing.

    Both calls raise `TransportDown` if the provider cannot be reached, `AccountTrouble`
    if it does not allow them to this account, and `Throttled` to be left alone for
    longer than is worth waiting for.
    """

    @abstractmethod
    def pages(self) -> AsyncIterator[Sequence[ListedAddress]]:
        """All entries, in pages, of which one at a time is in memory.

        An address may be there more than once, for several reasons.
        """

    @abstractmethod
    async def remove(self, address: str) -> bool:
        """Have the provider send to ``address`` again; False if it was not listed.

        Raises `AccountTrouble` if the provider keeps it listed.
        """
