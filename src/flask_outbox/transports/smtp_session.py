"""One connection's life between its making and its end."""

from __future__ import annotations

import asyncio

from ..config import SmtpSettings
from ..delivery import Envelope, Progress, Report
from .smtp_link import LinkError, LinkLost, ServerClosing, SmtpLink
from .smtp_offer import Offer
from .smtp_transaction import Transaction

QUIT_SECONDS = 1.0
"""How long a server may take to say goodbye: nothing depends on it."""


class StaleConnection(Exception):
    """A kept-open connection had ended meanwhile; nothing was decided on it."""


class SmtpSession:
    """One connection, ready for mail: one transaction at a time.

    ``messages_begun`` counts its transactions; ``kept_open`` says that it has lain idle
    since it was opened, so that the server may have ended it.
    """

    def __init__(self, link: SmtpLink, offer: Offer, settings: SmtpSettings) -> None:
        self._link = link
        self._offer = offer
        self._settings = settings
        self.messages_begun = 0
        self.kept_open = False

    @property
    def usable(self) -> bool:
        """Whether another message may be tried on it, as far as is known."""
        return self._link.open

    async def deliver(
        self, envelope: Envelope, content: bytes, progress: Progress
    ) -> Report:
        """Hand over one message, under the contract of `Transport.deliver`.

        Raises `StaleConnection` when a kept-open connection turns out to have ended:
        then another is worth a try. When this returns, the connection is either ready
        for the next message or closed; when it raises, it has to be aborted.
        """
        self.messages_begun += 1
        transaction = Transaction(
            self._link,
            self._offer,
            self._settings,
            message=(envelope, content),
            progress=progress,
        )
        try:
            async with asyncio.timeout(self._settings.deadline_seconds):
                await transaction.run()
        except (LinkLost, ServerClosing) as ended:
            self.abort()
            if self.kept_open and not transaction.begun:
                raise StaleConnection from ended
            transaction.server_ended(ended)
        except LinkError as trouble:
            self.abort()
            transaction.broke_off(str(trouble))
        except TimeoutError:
            self.abort()
            transaction.broke_off(
                f"deadline of {self._settings.deadline_seconds:g} s passed"
            )
        return transaction.report()

    async def answers(self) -> bool:
        """Whether the server still takes commands here; if not, it is closed."""
        try:
            reply = await self._link.command(
                b"NOOP", self._settings.command_timeout_seconds
            )
        except LinkError:
            return False
        if reply.code != 250:
            self.abort()
        return self.usable

    async def quit(self) -> None:
        """End the connection, politely if the server is quick. Never raises."""
        try:
            async with asyncio.timeout(QUIT_SECONDS):
                await self._link.command(b"QUIT", QUIT_SECONDS)
                await self._link.close()
        except (LinkError, TimeoutError):
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        """End the connection at once."""
        self._link.abort()
