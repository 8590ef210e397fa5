"""What may be asked of an outbox: nothing here changes anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from ..delivery import State
from ..guard import OFF, Guard
from ..message.stored import Stored
from . import (
    asking,
    attachments,
    counting,
    news,
    people,
    searching,
    suppressions,
)
from . import pulse as pulses
from .database import Database
from .pulse import Pulse
from .records import Batch, LaneRecord, MessageRecord, Status, Summary, Suppression
from .searches import Count, Glance, Page, Search, Tab


class Questions:
    """What people and pages ask of an outbox, in one database, at its own time."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], float] | None = None,
        guard: Guard = OFF,
    ) -> None:
        self.database = database
        self.guard = guard
        self.clock = clock or database.now

    def get(self, message_id: str) -> MessageRecord:
        """Everything about one message but its content. Raises `MessageNotFound`."""
        with self.database.reading() as connection:
            found = asking.get(connection, message_id)
        if found is None:
            raise people.not_found(message_id)
        return found

    def content(self, message_id: str) -> bytes | None:
        """What is said, as RFC 5322 bytes; None once pruned, or not rendered yet."""
        with self.database.reading() as connection:
            kept = attachments.kept_of(connection, message_id)
        return kept.body if kept and kept.template is None else None

    def unrendered(self, message_id: str) -> Stored | None:
        """A message that is still to be rendered; None where that is done."""
        with self.database.reading() as connection:
            kept = attachments.kept_of(connection, message_id)
        return Stored(kept.template, kept.body) if kept and kept.template else None

    def list(
        self, state: State | None = None, limit: int = 50, before: str | None = None
    ) -> list[Summary]:
        """The newest messages first, of one state or all, older than id ``before``."""
        with self.database.reading() as connection:
            return asking.summaries(connection, state, limit, before)

    def search(
        self,
        wanted: Search,
        limit: int = 50,
        *,
        before: str | None = None,
        after: str | None = None,
    ) -> Page:
        """The newest messages that fit ``wanted``, or the page next to another.

        Takes about as long whatever the outbox holds: see `Page`. ``before`` is another
        page's ``older``, ``after`` its ``newer``.
        """
        with self.database.reading() as connection:
            return searching.search(
                connection, wanted, self.clock(), limit, before, after
            )

    def counts(self) -> Mapping[Tab, Count]:
        """How many messages are in each tab, exactly where they are not many."""
        with self.database.reading() as connection:
            return counting.counts(connection, self.clock())

    def glance(self) -> Glance:
        """Counts, lanes and couriers, for whoever looks often."""
        with self.database.reading() as connection:
            return counting.glance(connection, self.clock())

    def paused_lanes(self) -> Sequence[LaneRecord]:
        """The lanes that are paused and why; what waits on them is not counted."""
        with self.database.reading() as connection:
            return asking.lane_records(connection, {}, {})

    def news(self, message_id: str | None = None) -> int:
        """A number that is another one once something happened to it, or to any."""
        with self.database.reading() as connection:
            return news.news(connection, message_id)

    def pulse(
        self,
        since: datetime,
        until: datetime,
        beats: int = 60,
        lane: str | None = None,
    ) -> Pulse:
        """What attempts came to from ``since`` to ``until``, in so many equal parts.

        Single minutes are told apart for a day, and hours as long as rows are kept
        (``OUTBOX_KEEP_ROWS``). What couriers have counted arrives with their
        heartbeats; the end of one that was killed is missing.
        """
        with self.database.reading() as connection:
            return pulses.read(
                connection, since.timestamp(), until.timestamp(), beats, lane
            )

    def status(self) -> Status:
        """Every count exact, however long that takes: for monitoring, which decides
        by them.
        """
        with self.database.reading() as connection:
            return asking.status(connection, self.clock())

    def suppressed_by(self, address: str, tag: str) -> Suppression | None:
        """What keeps mail with ``tag`` from ``address``; None where nothing does."""
        with self.database.reading() as connection:
            return suppressions.keeping_from(connection, address, tag)

    def moves(self) -> Sequence[Batch]:
        """What is half moved from here to other outboxes, batch by batch."""
        with self.database.reading() as connection:
            return asking.moves(connection)
