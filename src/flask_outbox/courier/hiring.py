"""Hiring: a crew, and the lanes of one courier, from an app's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from ..attempt import Policy
from ..config import Settings, TransportSettings
from ..dkim import Signer
from ..guard import Guard
from ..lane import Lane, Lanes
from ..message import Templates
from ..outbox.doorbell import has_doorbell
from ..outbox.store import Outbox
from ..transports.choice import transport_for
from .crew import Crew

POLL_SECONDS = 2.0
"""How often couriers look by themselves where nobody waits for that."""

WORKER_POLL_SECONDS = 0.25
"""How often couriers look where nobody wakes them: what is handed over waits for half
of this, and an idle courier asks a dozen small questions a second."""


def hire(
    settings: Settings,
    outbox: Outbox,
    signer: Signer | None,
    templates: Templates,
    sender: object,
) -> Crew:
    """The crew that ``settings`` ask for; ``sender`` is whose signals its signals are.

    Nothing is opened or started.
    """
    resends = settings.on_unknown == "resend"
    return Crew(
        outbox=outbox,
        make_lanes=partial(
            _make_lanes,
            settings.transports,
            settings.failover,
            settings.lane_pause_cap_seconds,
            outbox.guard,
        ),
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
        patience=settings.give_up_after,
        keep_bodies_seconds=settings.keep_bodies,
        keep_rows_seconds=settings.keep_rows,
        ascii_attachments=settings.ascii_attachments,
        templates=templates,
        sender=sender,
    )


def for_workers(crew: Crew, settings: Settings) -> Crew:
    """The same crew in processes where nothing is handed over: the database wakes it,
    or it looks more often.
    """
    listens = has_doorbell(crew.outbox.database)
    poll_seconds = POLL_SECONDS if listens else WORKER_POLL_SECONDS
    return replace(
        crew,
        engine="external",
        listens=listens,
        poll_seconds=settings.poll_seconds or poll_seconds,
    )


def _make_lanes(
    transports: Mapping[str, TransportSettings],
    failover: Mapping[str, tuple[str, ...]],
    pause_cap_seconds: float,
    guard: Guard,
) -> Lanes:
    lanes = [
        Lane(name, transport_for(one.smtp, guard), pause_cap_seconds, one.limits)
        for name, one in transports.items()
    ]
    return Lanes(lanes, failover)
