"""aiosmtplib's client, as making a connection needs it."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

import aiosmtplib

from .smtp_trouble import Step


class Client(aiosmtplib.SMTP):
    """aiosmtplib's client, which also knows how far it came and can let go."""

    step = Step.REACH
    greeting = ""
    """What the server said first."""

    async def greeted(self, reached: socket.socket) -> aiosmtplib.SMTPResponse:
        """Return the server's greeting over a socket, which is the client's from here.

        The handshake comes first where the client was made for TLS.
        """
        try:
            return await self.connect(sock=reached)
        except BaseException:
            reached.close()
            raise

    def close(self) -> None:
        """Cut the connection at once: a lingering TLS farewell helps nobody here."""
        transport = self.transport
        super().close()
        if transport is not None:
            cast(asyncio.Transport, transport).abort()

    def release_transport(self) -> asyncio.Transport:
        """Return the transport and forget it, so that nothing here can close it.

        Raises aiosmtplib's `SMTPServerDisconnected` if it is closed already.
        """
        if not self.is_connected:
            raise aiosmtplib.SMTPServerDisconnected("Connection lost")
        transport = cast(asyncio.Transport, self.transport)
        self.transport = self.protocol = None
        return transport

    @property
    def encrypted(self) -> bool:
        """Whether TLS protects what is said."""
        return self.get_transport_info("ssl_object") is not None
