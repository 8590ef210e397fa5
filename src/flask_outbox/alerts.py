"""Alerts: what an outbox is watched for, and what is said of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from blinker import NamedSignal

from . import signals


class AlertKind(StrEnum):
    """What an alert is about."""

    OLDEST_DUE = "oldest_due"
    """A message has been due for too long."""
    LANE_DOWN = "lane_down"
    """A transport has failed for too long."""
    FAILURES = "failures"
    """Too many messages failed."""


@dataclass(frozen=True, slots=True)
class AlertLimits:
    """When an alert begins; None where there is none of that kind."""

    oldest_due_seconds: float | None = 900.0
    lane_down_seconds: float | None = 300.0
    failed_messages: int | None = 10
    """So many have to fail, at least, within `failed_within_seconds`."""
    failed_share: float = 0.1
    """And they have to be such a part of all that were sent or failed."""
    failed_within_seconds: float = 900.0

    def __bool__(self) -> bool:
        limits = (self.oldest_due_seconds, self.lane_down_seconds, self.failed_messages)
        return any(one is not None for one in limits)


NO_LIMITS = AlertLimits(None, None, None)


@dataclass(frozen=True, slots=True)
class AlertRules:
    """What an outbox is watched for."""

    limits: AlertLimits = NO_LIMITS
    lanes: Collection[str] | None = None
    """The lanes that are watched; None for all."""

    def watch(self, lane: str) -> bool:
        """Whether this lane is watched."""
        return self.lanes is None or lane in self.lanes


NO_ALERTS = AlertRules()


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert, as the outbox had it when it was read."""

    id: str
    kind: AlertKind
    lane: str | None
    """The transport that it is about, if it is about one."""
    words: str
    """What it says, in one sentence, without anything about a message or recipient."""
    reason: str
    """Why a lane is down, as its server said; "" for other alerts."""
    began_at: datetime
    ended_at: datetime | None
    """When it was over; None while it lasts."""


@dataclass(frozen=True, slots=True)
class AlertNews:
    """That an alert has begun or, if it has an end, that it is over."""

    alert: Alert

    @property
    def kind(self) -> str:
        """``alert_raised`` or ``alert_ended``, as the signals are named."""
        return "alert_ended" if self.alert.ended_at else "alert_raised"

    @property
    def id(self) -> str:
        """The same, however often it is told."""
        return f"{self.kind}_{self.alert.id}"

    @property
    def at(self) -> datetime:
        """When the alert began or ended."""
        return self.alert.ended_at or self.alert.began_at

    def announcement(self) -> tuple[NamedSignal, Mapping[str, Any]]:
        """The signal to send, and what it says."""
        alert = self.alert
        said: dict[str, Any] = {
            "alert_id": alert.id,
            "kind": alert.kind,
            "lane": alert.lane,
            "words": alert.words,
            "reason": alert.reason,
            "began_at": alert.began_at,
        }
        if alert.ended_at is None:
            return signals.alert_raised, said
        return signals.alert_ended, {**said, "ended_at": alert.ended_at}
