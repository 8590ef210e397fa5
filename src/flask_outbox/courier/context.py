"""What the couriers of one app work with, built from the app's settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from blinker import NamedSignal

from ..config import Settings, TransportSettings
from ..dkim import Signer
from ..limits import RetryWindow
from ..message import Templates
from ..outbox import Outbox, WebhookStore, can_notify
from ..recipient_guard import Guard
from ..transports.registry import resolve, transport_for
from ..transports.resolver import FindTransport
from .alerts import AlertWatch, MailAlert
from .attempt import Policy
from .lane import Lane, Lanes
from .webhook_dispatcher import WebhookDispatcher

if TYPE_CHECKING:
    from ..traces import Traces

POLL_SECONDS = 2.0
"""How often couriers poll when something wakes them for new messages."""

WORKER_POLL_SECONDS = 0.25
"""How often couriers poll when nothing wakes them. A new message waits for half of this
on average; an idle courier makes a dozen small queries a second."""


@dataclass(frozen=True, slots=True)
class CourierContext:
    """The outbox that couriers work on, and their settings."""

    outbox: Outbox
    make_lanes: Callable[[], Lanes]
    """Makes the lanes of one courier, in its event loop."""
    find_transport: FindTransport
    """The app's transport resolver."""
    resolve: Callable[[str], TransportSettings]
    """What it finds for a name. Raises `ConfigError`, which says why there is none."""
    transport_cache_seconds: float
    lane_pause_cap_seconds: float
    policy: Policy
    engine: str
    concurrency: int
    tag_concurrency: Mapping[str, int]
    lease_seconds: float
    poll_seconds: float
    listens: bool
    """Whether the database notifies the couriers of new messages (LISTEN)."""
    grace_seconds: float
    render_timeout_seconds: float
    retry_window: RetryWindow
    keep_bodies_seconds: float
    keep_rows_seconds: float
    keep_audit_seconds: float
    ascii_attachments: bool
    webhooks: WebhookDispatcher | None
    """Sends the webhooks of the app's endpoints; None if it has none."""
    alerts: AlertWatch | None
    """Looks for alerts; None if nothing is watched."""
    templates: Templates
    """The app's templates, for messages that its couriers render."""
    sender: object
    """The sender of the couriers' signals: the Flask app."""
    traces: Traces | None
    """Makes a span of each attempt; None if the app does not want that."""
    counts_backlog: bool
    """Whether somebody reads the metrics, which tell how much waits."""

    def for_workers(self, settings: Settings) -> CourierContext:
        """The same for worker processes, in which no app sends messages.

        There the database wakes the couriers; where it cannot, they poll more often.
        """
        listens = can_notify(self.outbox.database)
        poll_seconds = POLL_SECONDS if listens else WORKER_POLL_SECONDS
        return replace(
            self,
            engine="external",
            listens=listens,
            poll_seconds=settings.poll_seconds or poll_seconds,
        )


class CourierServices(Protocol):
    """What a courier does for its parts."""

    async def in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call the outbox in a thread, so that the event loop is not blocked."""

    def emit(self, signal: NamedSignal, **payload: Any) -> None:
        """Send a signal to the app's listeners."""

    def wake(self) -> None:
        """Look for due messages now."""


def build_context(
    settings: Settings,
    outbox: Outbox,
    signer: Signer | None,
    templates: Templates,
    sender: object,
    find_transport: FindTransport,
    mail_alert: MailAlert,
    traces: Traces | None,
) -> CourierContext:
    """Build the context from ``settings``. Opens and starts nothing.

    ``sender`` is the sender of the couriers' signals; ``find_transport`` finds the
    transports that the settings do not name; ``mail_alert`` enqueues a mail about an
    alert; ``traces`` makes the attempts' spans.
    """
    resends = settings.on_unknown == "resend"
    return CourierContext(
        outbox=outbox,
        make_lanes=partial(
            _make_lanes,
            settings.transports,
            settings.failover,
            settings.lane_pause_cap_seconds,
            outbox.guard,
        ),
        find_transport=find_transport,
        resolve=partial(resolve, find=find_transport, reader=settings.reader),
        transport_cache_seconds=settings.transport_cache_seconds,
        lane_pause_cap_seconds=settings.lane_pause_cap_seconds,
        policy=Policy(
            settings.backoff_base_seconds,
            settings.backoff_cap_seconds,
            settings.unknown_wait_seconds if resends else None,
            signer,
        ),
        engine=settings.engine,
        concurrency=settings.concurrency,
        tag_concurrency=settings.tag_concurrency,
        lease_seconds=settings.lease_seconds,
        poll_seconds=settings.poll_seconds or POLL_SECONDS,
        listens=False,
        grace_seconds=settings.grace_seconds,
        render_timeout_seconds=settings.render_timeout_seconds,
        retry_window=settings.give_up_after,
        keep_bodies_seconds=settings.keep_bodies,
        keep_rows_seconds=settings.keep_rows,
        keep_audit_seconds=settings.keep_audit,
        ascii_attachments=settings.ascii_attachments,
        webhooks=_webhook_dispatcher(settings, outbox),
        alerts=_alert_watch(settings, outbox, mail_alert),
        templates=templates,
        sender=sender,
        traces=traces,
        counts_backlog=settings.metrics is not None,
    )


def _webhook_dispatcher(settings: Settings, outbox: Outbox) -> WebhookDispatcher | None:
    if not settings.webhooks:
        return None
    return WebhookDispatcher(
        WebhookStore(outbox),
        settings.webhooks,
        settings.webhook_give_up_after,
        settings.keep_bodies,
    )


def _alert_watch(
    settings: Settings, outbox: Outbox, mail_alert: MailAlert
) -> AlertWatch | None:
    if not outbox.alert_rules.limits:
        return None
    return AlertWatch(
        outbox,
        settings.webhooks,
        settings.webhook_give_up_after,
        mail_alert if settings.alert_to else None,
    )


def _make_lanes(
    transports: Mapping[str, TransportSettings],
    failover: Mapping[str, tuple[str, ...]],
    pause_cap_seconds: float,
    guard: Guard,
) -> Lanes:
    lanes = [
        Lane(name, transport_for(one, guard), pause_cap_seconds, one.limits)
        for name, one in transports.items()
    ]
    return Lanes(lanes, failover)
