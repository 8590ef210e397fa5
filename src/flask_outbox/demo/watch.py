"""Watch: which messages there are, and whether the lane is paused, by the signals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

from flask import Flask

from flask_outbox import events
from flask_outbox.picture import Pause

MESSAGES = 12
"""How many messages are remembered: as many as the page shows."""


class Watch:
    """Listens to the signals of one app. ``ids`` has its messages, the newest first.

    A message counts from its hand-over, or, when an earlier run left it, from when a
    courier takes it up.
    """

    def __init__(self, app: Flask) -> None:
        self.pause: Pause | None = None
        self.ids: tuple[str, ...] = ()
        self._adding = Lock()
        for signal in (
            events.message_enqueued,
            events.message_rescued,
            events.message_began,
        ):
            signal.connect(self._message, sender=app)
        events.lane_paused.connect(self._paused, sender=app)
        events.lane_resumed.connect(self._resumed, sender=app)

    def _message(self, _app: Flask, message_id: str, **_: Any) -> None:
        with self._adding:
            if message_id not in self.ids:
                self.ids = (message_id, *self.ids)[:MESSAGES]

    def _paused(self, _app: Flask, reason: str, seconds: float, **_: Any) -> None:
        self.pause = Pause(reason, datetime.now(UTC) + timedelta(seconds=seconds))

    def _resumed(self, _app: Flask, **_: Any) -> None:
        self.pause = None
