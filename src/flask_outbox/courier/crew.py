"""Crew: what all couriers of one app have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..attempt import Policy
from ..lane import Lanes
from ..message import Templates
from ..outbox.store import Outbox
from ..patience import Patience


@dataclass(frozen=True, slots=True)
class Crew:
    """The outbox that couriers work on, and how they work."""

    outbox: Outbox
    make_lanes: Callable[[], Lanes]
    """Makes the lanes of one courier, inside its loop."""
    policy: Policy
    engine: str
    concurrency: int
    tag_concurrency: Mapping[str, int]
    lease_seconds: float
    poll_seconds: float
    listens: bool
    """Whether its couriers hear of what others hand over, on a line of their own."""
    grace_seconds: float
    render_timeout_seconds: float
    patience: Patience
    keep_bodies_seconds: float
    keep_rows_seconds: float
    ascii_attachments: bool
    templates: Templates
    """Those of the app, for what is rendered by its couriers."""
    sender: object
    """Whose signals its signals are: the Flask app."""
