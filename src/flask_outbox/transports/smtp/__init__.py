"""SMTP (RFC 5321): delivers mail to a server over connections that are kept open.

::

    SmtpTransport.deliver(envelope, content, progress) -> Report
        |
    SmtpPool          finds each message a connection: an idle one, a new one, or one
        |             with room for it; keeps to the limits of the server
        |  opened by SmtpConnector: reach the host, greet, STARTTLS, log in
        v
    SmtpSession       one connection, and the messages in flight on it
        |
        v
    Transaction       one message on it: MAIL, RCPT, DATA or BDAT, and what the replies
        |             mean for each recipient
        v
    SmtpLink          the bytes: commands out, replies in, each with a time limit

A `Delivery` is one message on this way, and the report that its caller waits for.

===============  ====================================================================
To change        open
===============  ====================================================================
the dialogue     ``transaction.py``; the command lines are in ``capabilities.py``
how many         ``pool.py`` (connections), ``session.py`` (messages in flight on one)
how we connect   ``connect.py`` (addresses, TLS), ``login.py`` (AUTH)
what we read     ``protocol.py`` (pairing, time-outs), ``replies.py`` (syntax)
what we report   ``errors.py``: the text of every `TransportDown`
===============  ====================================================================

`Transaction` handles a 421: the message goes to a fresh connection, whose reply
decides. `SmtpLink.break_off` handles a broken connection: it notifies the session and
all that wait for a reply.
"""

from __future__ import annotations

from ...config import SmtpSettings
from ...delivery import Envelope, Progress, Report
from ..base import Transport
from .connect import SmtpConnector
from .job import Delivery
from .pool import SmtpPool


class SmtpTransport(Transport):
    """Delivers to one SMTP server, as the settings describe it.

    If the server offers PIPELINING and is known to cope with it
    (`PipelineAfterContent`), the next message's commands are sent directly behind the
    content of the one before; with CHUNKING, too, several messages are in flight on a
    connection. Otherwise a connection carries one message at a time. Waiting for a
    connection has no time limit of its own, only those of the deliveries before.
    """

    def __init__(self, settings: SmtpSettings) -> None:
        self.server_address: tuple[str, int] = settings.host, settings.port
        self._pool = SmtpPool(
            SmtpConnector(settings).connect,
            max_connections=settings.max_connections,
            max_messages=settings.max_messages_per_connection,
            idle_seconds=settings.idle_seconds,
        )

    async def deliver(
        self, envelope: Envelope, content: bytes, progress: Progress
    ) -> Report:
        """Send the message to the server and report on each recipient.

        If an idle connection turns out to be closed, another one is used. Raises as
        `Transport.deliver` does.
        """
        return await self._pool.carry(Delivery(envelope, content, progress))

    @property
    def riders(self) -> int:
        """One for each connection on which commands may ride (`Riding`)."""
        return self._pool.riders

    async def probe(self) -> None:
        """Return if the server would take mail now, else raise `TransportDown`."""
        while True:  # ends: on a fresh connection takes_mail() is true or raises
            async with self._pool.lend(Progress()) as session:
                if await session.takes_mail():
                    return

    async def close(self) -> None:
        """Close all connections; after this the transport takes no more mail."""
        await self._pool.close()
