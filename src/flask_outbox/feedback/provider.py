"""The contract of a provider's events: tell real ones from forged ones, read them."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar

from ..config import EventSettings
from ..errors import ConfigError, EventsRefused, raised
from ..message.text import shown
from .fate import Feedback
from .json_value import JsonValue, parse

OUTBOX_ID = "outbox_id"
"""Under this name the outbox's id of a message is given to a provider that repeats it
in its events."""

ONE_EVENT_BYTES = 256 * 1024
"""The longest request of a provider that sends its events one by one."""

BATCH_BYTES = 5 * 1024 * 1024
"""The longest request of a provider that sends many at once."""

KEY_SECONDS = 300.0
"""How long secrets from a function are used before the function is asked again."""

RENEWAL_SECONDS = 10.0
"""How soon it may be asked again if a request fits none of them."""


@dataclass(frozen=True)
class EventRequest:
    """A provider's POST, as it came. Nothing of it is in the ``repr``."""

    headers: Mapping[str, str] = field(repr=False)
    """Found by their names in lower case."""
    body: bytes = field(repr=False)
    at: datetime
    """When it came."""

    @cached_property
    def json(self) -> JsonValue:
        """The body. Raises `EventsRefused` if it is no JSON."""
        try:
            return parse(self.body)
        except ValueError as error:
            text = "the body is not JSON"
            raise EventsRefused(400, text, str(error)) from None


@dataclass(frozen=True, slots=True)
class OneTimeToken:
    """A token that a provider puts into one request, and into its repetitions.

    It is good for that one only, where a signature does not cover the request.
    """

    source: str
    """As `Feedback.source`."""
    token: str
    digest: str
    """The same for repetitions, and for no other request."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a provider's request says."""

    feedback: tuple[Feedback, ...] = ()
    unknown: Counter[str] = field(default_factory=Counter)
    """Kinds of event that are unknown here, and how often they were there."""
    token: OneTimeToken | None = None
    """By which the request is known again, if nothing else ties it to its signature."""


class ProviderEvents(ABC):
    """Reads the events of one transport's provider. One instance serves all requests,
    in several threads.

    A transport names its subclass in ``events``. `check` is called with each request,
    and `read` with those that pass.
    """

    max_bytes: ClassVar[int] = ONE_EVENT_BYTES
    """Longer requests are refused, and not read to their end."""
    content_types: ClassVar[tuple[str, ...]] = ("application/json",)
    """Others are refused."""

    def __init__(self, settings: EventSettings) -> None:
        self.settings = settings
        self.source: str = settings.scheme
        """What `Feedback.source` is."""
        self.secrets: EventSecrets = EventSecrets(settings)

    @classmethod
    def check_settings(cls, settings: EventSettings) -> None:
        """Raise `ConfigError` if no event could be told from a forged one by them.

        Called when the app is set up. By default a secret must be set, and
        `check_secret` is called with each that is.
        """
        if settings.topics:
            raise ConfigError(
                f"MAIL_EVENTS_TOPICS is set, and {settings.scheme} has no topics: "
                "remove it."
            )
        if not settings.secrets:
            raise ConfigError(
                f"MAIL_EVENTS_SECRET is not set: without it, events of "
                f"{settings.scheme} cannot be told from forged ones."
            )
        if not callable(settings.secrets):
            for one in settings.secrets:
                cls.check_secret(one)

    @classmethod
    def check_secret(cls, secret: str) -> None:
        """Raise `ConfigError`, without the secret, if it is of another form than the
        provider's.
        """

    @classmethod
    def smtp_header(cls, message_id: str) -> str:
        """The header by which mail names itself to the provider's SMTP server, so that
        its events do; "" if there is none.
        """
        return ""

    @abstractmethod
    def check(self, request: EventRequest) -> None:
        """Return if the request is the provider's, and new enough.

        Raises `EventsRefused`: with 401, never 403, for what a right secret would mend,
        as some providers never repeat what was answered 403.
        """

    @abstractmethod
    def read(self, request: EventRequest) -> Said:
        """What a request says that passed the check.

        Raises `EventsRefused` only for a body of another form than the provider's.
        Events of unknown kinds, and parts that are not there, are no reason.
        """

    def fits_a_secret(self, fits: Callable[[str], bool]) -> bool:
        """Whether a secret fits; if none does, others may have come in their place.

        Raises `EventsRefused` with 503 while there are none.
        """
        return any(map(fits, self.secrets.get())) or (
            self.secrets.renew() and any(map(fits, self.secrets.get()))
        )


class EventSecrets:
    """The secrets of ``MAIL_EVENTS_SECRET``, or what its function returns."""

    def __init__(
        self, settings: EventSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._given = settings.secrets
        self._clock = clock
        self._asking = threading.Lock()
        self._known: tuple[str, ...] | None = None
        self._asked_at = 0.0

    def get(self) -> tuple[str, ...]:
        """The secrets of now. Raises `EventsRefused` with 503 if there are none."""
        if not callable(self._given):
            return self._given
        with self._asking:
            if self._known is None or self._clock() - self._asked_at >= KEY_SECONDS:
                self._ask()
            assert self._known is not None
            return self._known

    def renew(self) -> bool:
        """Ask the function again, unless that was just done; whether it was asked."""
        if not callable(self._given):
            return False
        with self._asking:
            if self._clock() - self._asked_at < RENEWAL_SECONDS:
                return False
            self._ask()
            return True

    def _ask(self) -> None:
        assert callable(self._given)
        try:
            self._known = _as_secrets(self._given())
        except Exception as error:
            text = "the function in MAIL_EVENTS_SECRET returned no secret"
            raise EventsRefused(503, text, raised(error)) from error
        self._asked_at = self._clock()


def _as_secrets(value: Any) -> tuple[str, ...]:
    some = (value,) if isinstance(value, str) else tuple(value)
    if not some or not all(isinstance(one, str) and one for one in some):
        raise TypeError(f"it must return a string, or several: {shown(type(value))}")
    return some
