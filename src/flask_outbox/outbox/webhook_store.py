"""`WebhookStore`: queues what endpoints are told of, and keeps what came of it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from . import webhook_feed, webhook_queue
from .outbox import Outbox
from .records import Act, Actor, WebhookEndpointRecord, WebhookRecord
from .webhook_feed import Feed
from .webhook_queue import Pause, WebhookAttempt, WebhookClaim


class WebhookStore:
    """The webhooks of an outbox. Safe to share between threads.

    Every call that changes something returns once the change is durable, or raises
    `OutboxUnavailable` with nothing changed. Endpoints are given by their names.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._database = outbox.database
        self._write = outbox.database.write_apart

    # What is to be told

    def begin(self, endpoint: str) -> None:
        """Tell an endpoint of the events from now on, unless it is known already."""
        now = self._outbox.clock()
        self._write(lambda conn: webhook_feed.begin(conn, endpoint, now))

    def copy(self, feed: Feed) -> None:
        """Queue webhooks for all events that the endpoint was not told of.

        If another process is doing so, this leaves it to that.
        """
        while self._copy_some(feed) >= webhook_feed.EVENTS_AT_ONCE:
            continue

    def _copy_some(self, feed: Feed) -> int:
        now = self._outbox.clock()
        return self._write(lambda conn: webhook_feed.copy(conn, feed, now))

    def has_news(self, endpoint: str) -> bool:
        """Whether `copy` has something to do."""
        now = self._outbox.clock()
        with self._database.reading() as connection:
            return webhook_feed.has_news(connection, endpoint, now)

    # Sending

    def anything_due(self, endpoint: str) -> bool:
        """Whether `claim` would find something."""
        now = self._outbox.clock()
        with self._database.reading() as connection:
            return webhook_queue.anything_due(connection, endpoint, now)

    def claim(self, endpoint: str, limit: int) -> list[WebhookClaim]:
        """Lease up to ``limit`` due webhooks of an endpoint, none of them twice."""
        now = self._outbox.clock()
        return self._write(lambda conn: webhook_queue.claim(conn, endpoint, limit, now))

    def record(self, endpoint: str, attempts: Sequence[WebhookAttempt]) -> Pause | None:
        """Record what came of webhooks whose leases still hold.

        Returns that the endpoint was paused or opened by it.
        """
        now = self._outbox.clock()
        return self._write(
            lambda conn: webhook_queue.record(conn, endpoint, attempts, now)
        )

    def give_up(self, endpoint: str) -> int:
        """Fail the endpoint's webhooks that were tried for long enough; how many."""
        now = self._outbox.clock()
        return self._write(lambda conn: webhook_queue.give_up(conn, endpoint, now))

    def forget_finished(self, keep_seconds: float) -> None:
        """Delete the webhooks that were finished so long ago."""
        before = self._outbox.clock() - keep_seconds

        def work(connection: Connection) -> int:
            return webhook_queue.forget_finished(connection, before)

        while self._write(work):
            continue

    # What a person may do

    def pause(
        self, endpoint: str, reason: str = "", actor: Actor | None = None
    ) -> None:
        """Send nothing to an endpoint until `resume`; it is told of all later."""
        now = self._outbox.clock()

        def work(connection: Connection) -> None:
            webhook_feed.begin(connection, endpoint, now)
            webhook_queue.pause(connection, endpoint, reason, now)

        line = self._outbox.trail.draft(actor, Act.PAUSE_WEBHOOKS, endpoint)
        self._write(line.beside(work))

    def resume(self, endpoint: str, actor: Actor | None = None) -> None:
        """End any pause of an endpoint, also one after failures or a 410."""
        now = self._outbox.clock()
        line = self._outbox.trail.draft(actor, Act.RESUME_WEBHOOKS, endpoint)
        self._write(line.beside(lambda conn: webhook_queue.resume(conn, endpoint, now)))

    def replay(
        self,
        endpoint: str,
        give_up_seconds: float,
        since: float | None = None,
        actor: Actor | None = None,
    ) -> int:
        """Send again what failed or, with ``since`` (epoch seconds), all that was
        queued from then on; return how many. Their ids stay the same.
        """
        now = self._outbox.clock()
        line = self._outbox.trail.draft(actor, Act.REPLAY_WEBHOOKS, endpoint)
        return self._write(
            line.beside(
                lambda conn: webhook_queue.replay(
                    conn, endpoint, now, give_up_seconds, since
                ),
                many=int,
            )
        )

    def add_test(
        self, endpoint: str, give_up_seconds: float, actor: Actor | None = None
    ) -> str:
        """Queue a webhook that only tries the endpoint; return its id."""
        now = self._outbox.clock()

        def work(connection: Connection) -> str:
            webhook_feed.begin(connection, endpoint, now)
            return webhook_queue.add_test(connection, endpoint, now, give_up_seconds)

        line = self._outbox.trail.draft(actor, Act.TEST_WEBHOOKS, endpoint)
        return self._write(line.beside(work))

    # Reading

    def endpoints(self, names: Sequence[str]) -> list[WebhookEndpointRecord]:
        """The endpoints with these names, in this order."""
        with self._database.reading() as connection:
            return webhook_queue.endpoints(connection, names)

    def webhooks(self, endpoint: str, limit: int = 50) -> list[WebhookRecord]:
        """Some webhooks of an endpoint: first those that failed, then those that wait,
        then those that are done; in each, the latest first.
        """
        with self._database.reading() as connection:
            return webhook_queue.webhooks(connection, endpoint, limit)

    def get(self, endpoint: str, id: str) -> WebhookRecord | None:
        """One webhook; None if it is not there any more."""
        with self._database.reading() as connection:
            return webhook_queue.webhook_of(connection, endpoint, id)
