"""Repeats: what goes on is said once, when it changes, and then now and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

EVERY_SECONDS = 300.0
"""How often what has not changed is said again."""

Clock = Callable[[], float]


@dataclass(slots=True)
class _Said:
    what: str
    at: float
    held_back: int = 0


class Repeats:
    """Knows what was said last of each thing, so that a trouble fills no log.

    It keeps no app alive. Where two threads say the same at once, both may be let
    through; nothing new is ever held back.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._said: WeakKeyDictionary[object, dict[str, _Said]] = WeakKeyDictionary()

    def held_back(self, app: object, about: str, what: str) -> int | None:
        """How often it was held back since it was said last; None: hold it back now.

        What differs from the last that was said of the same thing is said at once.
        """
        said = self._said.setdefault(app, {})
        last, now = said.get(about), self._clock()
        if last is None or last.what != what:
            said[about] = _Said(what, now)
            return 0
        if now - last.at < EVERY_SECONDS:
            last.held_back += 1
            return None
        said[about] = _Said(what, now)
        return last.held_back

    def over(self, app: object, about: str) -> None:
        """It is over: when it begins again, that is said at once."""
        self._said.get(app, {}).pop(about, None)
