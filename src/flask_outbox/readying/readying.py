"""Readying: a message is intercepted, given a way out, checked and composed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from email.message import Message as StandardMessage
from typing import Any

from ..config import Settings
from ..handover import Wishes, list_of, prepare
from ..message import Message
from ..outbox.records import NewMessage, Stop
from ..outbox.store import Outbox
from ..plain_json import WriteJson
from .interceptors import Interceptors
from .leaving import Link, with_way_out

HeldBack = Callable[[], Stop | None]
"""Answers why nothing that is handed over may leave at present, if so."""


def nothing_held_back() -> None:
    """Answer that nothing is held back."""


class Readying:
    """Makes messages ready to be kept in one app's outbox."""

    def __init__(
        self,
        outbox: Outbox,
        settings: Settings,
        interceptors: Interceptors,
        link: Link,
        held_back: HeldBack,
        write: WriteJson,
    ) -> None:
        self._outbox = outbox
        self._settings = settings
        self._interceptors = interceptors
        self._link = link
        self._held_back = held_back
        self._write = write

    def __call__(
        self,
        message: Message | StandardMessage,
        wishes: Wishes,
        origin: Mapping[str, Any] | None,
    ) -> tuple[Message | StandardMessage, NewMessage]:
        """The message as the interceptors leave it, and that ready to be kept."""
        passed = self._interceptors(message, wishes)
        message = passed.message
        if wishes.unsubscribe:
            message = with_way_out(message, list_of(wishes), self._link)
        now = self._outbox.clock()
        new = prepare(message, wishes, self._settings, origin, now, self._write)
        return message, replace(
            new, changes=passed.changes, stop=passed.stop or self._held_back()
        )
