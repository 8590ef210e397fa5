"""Mail leaves by SMTP (RFC 5321): the adapter, over a pool of kept-open connections."""

from __future__ import annotations

from ..config import SmtpSettings
from ..delivery import Envelope, Progress, Report
from .base import Transport
from .smtp_connect import SmtpConnector
from .smtp_delivery import Delivery
from .smtp_pool import SmtpPool


class SmtpTransport(Transport):
    """One SMTP server, as the settings describe it.

    At a server that copes (`Riding`) and offers PIPELINING the next message's commands
    ride behind the content of the one before, with CHUNKING several messages are in
    flight on a connection; otherwise it carries one at a time. `deliver` holds to the
    contract: a server's no is an outcome, trouble with the server itself is
    `TransportDown`. The wait for a connection with room has no bound but those of the
    deliveries before it.
    """

    def __init__(self, settings: SmtpSettings) -> None:
        self._pool = SmtpPool(
            SmtpConnector(settings).connect,
            max_connections=settings.max_connections,
            max_messages=settings.max_messages_per_connection,
            idle_seconds=settings.idle_seconds,
        )

    async def deliver(
        self, envelope: Envelope, content: bytes, progress: Progress
    ) -> Report:
        """Hand the message to the server and answer for each recipient.

        A kept-open connection that turns out to have ended is replaced unseen.
        """
        return await self._pool.carry(Delivery(envelope, content, progress))

    async def probe(self) -> None:
        """Return if the server would take mail now, else raise `TransportDown`."""
        while True:  # ends: a fresh connection answers for the server
            async with self._pool.lend(Progress()) as session:
                if await session.takes_mail():
                    return

    async def close(self) -> None:
        """End all connections; after this the transport takes no more mail."""
        await self._pool.close()
