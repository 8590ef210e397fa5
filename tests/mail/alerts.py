"""Apps that raise alerts soon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from flask_outbox.courier import maintenance
from flask_outbox.outbox import alerts

OPS = "ops@example.com"

SOON = 0.3
"""Seconds."""


@contextmanager
def impatient() -> Iterator[None]:
    """Couriers look for alerts all the time, and end them soon: but not before a lane
    that one courier resumes and another pauses could be down for too long again.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maintenance, "LOOK_SECONDS", 0.05)
        patch.setattr(alerts, "CALM_SECONDS", 3 * SOON)
        yield


def down_soon(**settings: Any) -> dict[str, Any]:
    """Settings with which a lane is down for too long almost at once."""
    return {"OUTBOX_ALERTS": {"lane_down_seconds": SOON}, **settings}


def mailed_by(url: str, **settings: Any) -> dict[str, Any]:
    """Settings with which alerts are mailed by the server at ``url``."""
    return {
        "MAIL_TRANSPORTS": {"ops": url},
        "OUTBOX_ALERT_TO": OPS,
        "OUTBOX_ALERT_TRANSPORT": "ops",
        **settings,
    }
