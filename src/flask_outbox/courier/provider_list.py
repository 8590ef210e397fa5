"""A provider's suppression list, read and changed from a thread without a loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self, TypeVar

from ..concurrency import run_beside_loops
from ..config import TransportSettings
from ..errors import AccountTrouble, ConfigError, MessageError, Throttled, TransportDown
from ..outbox import Outbox, new_suppression
from ..outbox.records import Act, Actor, Suppression, SuppressionSync
from ..recipient_guard import Guard
from ..transports.base import Transport
from ..transports.registry import transport_for
from ..transports.suppression_list import ListedAddress, SuppressionList

T = TypeVar("T")

STEP = 500
"""How many entries are stored in one transaction."""


class ProviderList:
    """The suppression list of a transport's provider, for callers without a loop.

    A context manager. Nothing is opened before the first request. Its errors name the
    transport.
    """

    def __init__(self, name: str, transport: Transport, found: SuppressionList) -> None:
        self.name = name
        self.provider: str = transport.scheme
        self._transport = transport
        self._list = found
        self._runner = asyncio.Runner()

    @classmethod
    def of(cls, name: str, settings: TransportSettings) -> ProviderList | None:
        """The list behind the transport ``name``; None if there is none."""
        transport = transport_for(settings, Guard())
        found = transport.suppression_list()
        return None if found is None else cls(name, transport, found)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run(self._transport.close())
        run_beside_loops(self._runner.close)

    def pages(self) -> Iterator[Sequence[ListedAddress]]:
        """All entries, a page at a time."""
        pages = self._list.pages()
        with self._named("read the suppressions of"):
            while (page := self._run(_next(pages))) is not None:
                yield page

    def remove(self, address: str) -> bool:
        """Take ``address`` off the provider's list; False if it was not on it."""
        with self._named(f"take {address} off the provider's list of"):
            return self._run(self._list.remove(address))

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        return run_beside_loops(lambda: self._runner.run(call))

    @contextmanager
    def _named(self, doing: str) -> Iterator[None]:
        try:
            yield
        except Throttled as error:
            raise Throttled(self._failed(doing, error), error.wait_seconds) from error
        except AccountTrouble as error:
            raise AccountTrouble(self._failed(doing, error)) from error
        except TransportDown as error:
            raise TransportDown(self._failed(doing, error)) from error

    def _failed(self, doing: str, error: TransportDown) -> str:
        wait = getattr(error, "wait_seconds", None)
        when = f" Try again in {wait:,.0f} seconds." if wait else ""
        return f"Could not {doing} the transport {self.name}: {error}{when}"


async def _next(
    pages: AsyncIterator[Sequence[ListedAddress]],
) -> Sequence[ListedAddress] | None:
    return await anext(pages, None)


def without_list(name: str) -> ConfigError:
    """The error for a transport whose provider has no list that can be read."""
    return ConfigError(
        f"The transport {name} has no suppression list of its provider's: only some "
        "providers' APIs have one, and none does where mail is kept here."
    )


@dataclass(frozen=True, slots=True)
class SyncStep:
    """Some entries of a provider's list, once they are stored here."""

    added: Sequence[Suppression]
    total: SuppressionSync
    """What the whole list had so far."""


def sync(
    source: ProviderList,
    outbox: Outbox,
    *,
    dry_run: bool,
    actor: Actor | None = None,
) -> Iterator[SyncStep]:
    """Suppress in ``outbox`` what ``source`` lists, a set at a time.

    A dry run changes nothing, and the audit trail does not have it. If the provider or
    the database fails, what was stored before stays.
    """
    total = SuppressionSync(source.name)
    actor = None if dry_run else actor
    line = outbox.trail.note(actor, Act.SYNC_SUPPRESSIONS, source.name, many=0)
    for page in source.pages():
        for at in range(0, len(page), STEP):
            some = page[at : at + STEP]
            entries = list(_entries(some, source, outbox.clock()))
            became = outbox.suppress_listed(entries, dry_run=dry_run, line=line)
            total = replace(
                total,
                read=total.read + len(some),
                added=total.added + len(became.added),
                known=total.known + became.known,
                pardoned=total.pardoned + became.pardoned,
                unreadable=total.unreadable + len(some) - len(entries),
            )
            yield SyncStep(became.added, total)


def _entries(
    page: Sequence[ListedAddress], source: ProviderList, now: float
) -> Iterator[Suppression]:
    for one in page:
        evidence = {"transport": source.name, "listed_for": str(one.listed_for)}
        told = {"at": max(one.at or 0.0, 0.0), "words": one.words}
        reason = f"listed by {source.provider} as {one.listed_for}"
        try:
            yield new_suppression(
                one.address,
                one.for_tag,
                f"{reason}: {one.words}" if one.words else reason,
                "provider",
                now,
                evidence | {name: value for name, value in told.items() if value},
            )
        except MessageError:  # somebody else's address or tag may be none of ours
            continue
