"""Standing: what is known of each lane, from the settings and from the outbox."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from .config import Settings
from .outbox.records import LaneRecord


@dataclass(frozen=True, slots=True)
class Standing:
    """One lane, as people and machines are told of it."""

    name: str
    leaves_by: str | None
    """Where its mail goes; None where no transport of the app has its name."""
    rate: str | None
    paused_by: str | None
    reason: str
    until: datetime | None
    waiting: int
    due: int


def standings(settings: Settings, found: Iterable[LaneRecord]) -> list[Standing]:
    """Every transport of the app, then lanes of other names with messages on them."""
    records = {one.name: one for one in found}
    strange = [
        name
        for name, one in records.items()
        if one.waiting and name not in settings.transports
    ]
    return [
        _standing(name, settings, records.get(name))
        for name in [*settings.transports, *strange]
    ]


def _standing(name: str, settings: Settings, found: LaneRecord | None) -> Standing:
    transport = settings.transports.get(name)
    record = found or LaneRecord(name, None, "", None, 0, 0)
    limits = transport.limits if transport else ()
    return Standing(
        name=name,
        leaves_by=transport.place if transport else None,
        rate=", ".join(str(one) for one in limits) or None,
        paused_by=record.paused_by,
        reason=record.reason,
        until=record.until,
        waiting=record.waiting,
        due=record.due,
    )
