"""The contract of a transport: deliver a message, report on each recipient."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from ..config import Key, UrlSettings
from ..delivery import Envelope, Progress, Report

if TYPE_CHECKING:
    from ..feedback.provider import ProviderEvents
    from .suppression_list import SuppressionList


class Transport(ABC):
    """Delivers mail. One instance serves one courier, inside its event loop.

    Nothing is opened before the first `deliver` or `probe`. Concurrent calls are
    allowed; an adapter manages its own connections and their limit.

    A package adds one under the entry point group ``flask_outbox.transports``: the
    entry's name is the scheme of its ``MAIL_URL``, and the entry is a subclass, which
    is called with `UrlSettings`. It is imported only if an app's settings have that
    scheme.
    """

    scheme: str = ""
    """The scheme of its ``MAIL_URL``, which tells its ids from those of others; "" for
    SMTP and the dev inbox, which give none."""

    server_address: tuple[str, int] | None = None
    """The host and port to which it delivers, for traces; None where there is none."""

    options: ClassVar[tuple[Key, ...]] = ()
    """The options that may follow the ``?`` in its URL, with names in lower case."""
    events: ClassVar[type[ProviderEvents] | None] = None
    """What reads the events that its provider posts; None if it posts none."""

    @classmethod
    def check_settings(cls, settings: UrlSettings) -> None:
        """Raise `ConfigError` if mail cannot leave by these settings.

        Called when the app is set up, unless it sends no mail. The options are
        converted.
        """

    @classmethod
    def check_message(cls, envelope: Envelope, content: bytes) -> None:
        """Raise `MessageError` if this transport can never send such a message.

        Called when a message is enqueued, with the bytes that are stored; not for a
        message that is rendered later, which `deliver` reports as refused.
        """

    @abstractmethod
    async def deliver(
        self, envelope: Envelope, content: bytes, progress: Progress
    ) -> Report:
        """Send one message to the next hop and report on **each** recipient.

        Whoever the report leaves out counts as *deferred*.

        The message goes to ``envelope.recipients`` and to nobody else, whoever its
        headers name: someone may be suppressed, have the message already, or be
        replaced by the recipient guard.

        A reply that concerns the message or one recipient is an outcome in the report,
        never an exception. So is a connection that breaks during delivery: *deferred*
        before the last byte that could complete the message, *unknown* after it.
        ``progress`` is updated meanwhile, so that a cancelled call still shows how far
        it came. Before the first byte and before the last, ``progress.lease_holds()``
        is asked; `LeaseLost` is raised if it does not.

        Raises `TransportDown` if the transport itself fails (connection refused, DNS,
        TLS, 421) and no recipient has an outcome; `LoginRejected` for rejected
        credentials, `AccountTrouble` if no probe would show what is wrong, and
        `Throttled` if the server asks to wait.
        """

    @property
    def riders(self) -> int:
        """How many messages more than ``OUTBOX_CONCURRENCY`` it can use at present.

        They are sent on the same connections, directly behind those before or in one
        call with them. None, unless an adapter knows better.
        """
        return 0

    def suppression_list(self) -> SuppressionList | None:
        """The list of addresses that its provider sends nothing to; None if it has no
        such list, or no way to read it.
        """
        return None

    @abstractmethod
    async def probe(self) -> None:
        """Return if the transport would take mail now, else raise `TransportDown`."""

    @abstractmethod
    async def close(self) -> None:
        """Close all connections; politely if that is quick."""
