"""``OUTBOX_ALERTS``: when something has been wrong for too long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ..alerts import NO_LIMITS, AlertLimits
from ..errors import AddressError, ConfigError
from ..message import Address
from .convert import as_flag, as_list, as_seconds, as_whole, wrong

_FIELDS = tuple(one.name for one in fields(AlertLimits))

DAY = 86_400.0


def as_alert_limits(name: str, value: Any) -> AlertLimits:
    """True for the usual limits, False for none, or a dict of those that differ."""
    if not isinstance(value, Mapping):
        try:
            return AlertLimits() if as_flag(name, value) else NO_LIMITS
        except ConfigError:
            known = ", ".join(_FIELDS)
            wanted = f"True, False or a dict with some of {known}"
            raise wrong(name, value, wanted) from None
    for given in value:
        if given not in _FIELDS:
            raise wrong(name, value, f"a dict with some of {', '.join(_FIELDS)}")
    return AlertLimits(
        **{key: _limit(f"{name}[{key!r}]", key, one) for key, one in value.items()}
    )


def _limit(name: str, key: str, value: Any) -> Any:
    if key == "failed_share":
        return _share(name, value)
    if key == "failed_within_seconds":
        return _window(name, value)
    if value is None:
        return None
    if key == "failed_messages":
        return as_whole(1, 1_000_000)(name, value)
    return as_seconds(name, value)


def _share(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise wrong(name, value, "a number from 0 to 1")
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise wrong(name, value, "a number from 0 to 1")
    return share


def _window(name: str, value: Any) -> float:
    """A time for which failures are counted by the minute."""
    seconds = as_seconds(name, value)
    if not 60 <= seconds <= DAY:
        raise wrong(name, value, "from a minute to a day, in seconds")
    return seconds


def as_addresses(name: str, value: Any) -> tuple[str, ...]:
    """Bare addresses, from a list, which may be empty, or a string with commas."""
    if value in ((), []):
        return ()
    some = as_list(name, value)
    try:
        return tuple(Address.parse(one, name).spec for one in some)
    except AddressError as error:
        raise wrong(name, value, "mail addresses, as in ['ops@example.com']") from error
