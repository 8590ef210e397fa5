"""What the providers that sign their events have in common."""

from __future__ import annotations

import hmac
import importlib.util
from datetime import datetime, timedelta

from ..errors import ConfigError, EventsRefused
from .json_value import JsonValue


def need_cryptography(scheme: str) -> None:
    """Raise `ConfigError` without the package that verifies signatures."""
    if importlib.util.find_spec("cryptography") is None:
        raise ConfigError(
            f"Events of {scheme} are signed, and verifying that needs the package "
            'cryptography: install it with pip install "flask-outbox[events]".'
        )


def refuse_if_old(
    time: str, now: datetime, tolerance: timedelta, status: int = 401
) -> None:
    """Raise `EventsRefused` unless ``time`` is near enough to ``now``, or for none.

    Only for a time that is signed.
    """
    at = JsonValue(time).time_or_none()
    if at is None or abs(now - at) > tolerance:
        text = "the request is too old, or a clock is wrong"
        raise EventsRefused(
            status, text, f"it is from {at}" if at else "it has no time"
        )


def same(given: str | bytes, wanted: str | bytes) -> bool:
    """Whether they are the same; how long that takes says nothing about ``wanted``."""
    return hmac.compare_digest(_bytes(given), _bytes(wanted))


def _bytes(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
