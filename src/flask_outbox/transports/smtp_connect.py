"""Makes a connection ready for mail: reach, greet, secure, log in, by aiosmtplib."""

from __future__ import annotations

import asyncio
import socket
import ssl
from functools import cached_property

import aiosmtplib

from ..config import SmtpSettings
from ..delivery import Progress
from . import smtp_trouble
from .smtp_client import Client
from .smtp_link import SmtpLink
from .smtp_login import Login
from .smtp_offer import Offer
from .smtp_reach import reach
from .smtp_riding import Riding
from .smtp_session import SmtpSession
from .smtp_trouble import Step, as_reply

OWN_NAME_SECONDS = 2.0
"""How long this machine's name may take to find: a broken DNS must not stop mail."""


class SmtpConnector:
    """Opens connections to the one server of its settings."""

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._own_name = settings.local_hostname
        self._login = Login(settings)
        self._riding = Riding(settings)

    async def connect(self, progress: Progress) -> SmtpSession:
        """Return a session ready for mail, within the connect timeout.

        Raises `TransportDown` otherwise, with the original error as its cause; then,
        and when it is cancelled, no connection is left behind. Credentials leave only
        after all that the settings demand of the connection has been met.
        """
        client: Client | None = None
        try:
            client = await self._client()
            async with asyncio.timeout(self._settings.connect_timeout_seconds):
                await self._make_ready(client, progress)
            return self._take_over(client)
        except smtp_trouble.EXPECTED as error:
            step = client.step if client else Step.REACH
            raise smtp_trouble.explain(error, step, self._settings) from error
        finally:
            if client is not None:
                client.close()

    async def _client(self) -> Client:
        """A client that has done nothing yet; what is slow about it is done once."""
        if self._own_name is None:
            self._own_name = await own_name()
        settings = self._settings
        return Client(
            hostname=settings.host,
            local_hostname=self._own_name or "localhost",
            timeout=None,  # ours is around it; wait_for() loses cancellations in 3.11
            use_tls=settings.security == "tls",
            start_tls=False,
            tls_context=None if settings.security == "plain" else self._tls_context,
        )

    @cached_property
    def _tls_context(self) -> ssl.SSLContext:
        return tls_context(self._settings)

    async def _make_ready(self, client: Client, progress: Progress) -> None:
        settings = self._settings
        rejections = self._login.rejections
        reached = await reach(settings.host, settings.port)
        client.step = Step.GREETING
        greeting = await client.greeted(reached)
        client.greeting = greeting.message
        progress.note("us", f"connected to {settings.place}")
        if settings.security == "tls":
            progress.note("us", self._tls_words(client))
        progress.note("them", str(as_reply(greeting.code, greeting.message)))
        if not self._own_name:
            client.local_hostname = _address_literal(client)
        await _greet(client, progress)
        if settings.security == "starttls":
            await self._secure(client, progress)
        if settings.username is not None:
            reply = await self._login.log_in(client, rejections)
            progress.note("us", f"authenticated as {settings.username}")
            progress.note("them", str(reply))
        client.step = Step.READY

    async def _secure(self, client: Client, progress: Progress) -> None:
        if not client.supports_extension("starttls"):
            raise smtp_trouble.no_starttls(self._settings)
        client.step = Step.STARTTLS
        progress.note("us", "STARTTLS")
        await client.starttls()
        progress.note("us", self._tls_words(client))
        await _greet(client, progress)

    def _tls_words(self, client: Client) -> str:
        version = client.get_transport_info("ssl_object").version()
        verified = "verified" if self._settings.verify else "NOT verified"
        return f"{version}, certificate {verified}"

    def _take_over(self, client: Client) -> SmtpSession:
        """Give the connection to a session of ours; the client forgets it."""
        link = SmtpLink(client.release_transport())
        offer = Offer.read(client.esmtp_extensions, client.greeting)
        return SmtpSession(link, offer, self._settings, self._riding)


async def _greet(client: Client, progress: Progress) -> None:
    """Say EHLO, or HELO to a server that does not know it (RFC 5321 section 3.2)."""
    client.step = Step.EHLO
    progress.note("us", f"EHLO {client.local_hostname}")
    try:
        reply = await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        if not client.is_connected:
            raise
        progress.note("us", f"HELO {client.local_hostname}")
        reply = await client.helo()
    progress.note("them", str(as_reply(reply.code, reply.message)))


def tls_context(settings: SmtpSettings) -> ssl.SSLContext:
    """TLS from 1.2 on, verified unless the settings say otherwise in so many words.

    Raises `TransportDown` for files of the settings that cannot be loaded.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        raise smtp_trouble.bad_ca_file(error, settings) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.client_cert_file is not None:
        try:
            context.load_cert_chain(
                settings.client_cert_file, settings.client_key_file, _no_passphrase
            )
        except (OSError, ValueError) as error:
            raise smtp_trouble.bad_client_certificate(error, settings) from error
    return context


def _no_passphrase() -> str:
    """Stand between OpenSSL and the terminal, where it would ask and wait."""
    raise ValueError("the key has a passphrase")


async def own_name() -> str:
    """This machine's full name, or "" if it has none or it is long in coming."""
    try:
        async with asyncio.timeout(OWN_NAME_SECONDS):
            name = await asyncio.to_thread(socket.getfqdn)
    except TimeoutError:
        return ""
    return name if "." in name and name.isascii() and name.isprintable() else ""


def _address_literal(client: Client) -> str:
    """What EHLO says for want of a name (RFC 5321 section 4.1.4): ``[192.0.2.1]``."""
    address = str(client.get_transport_info("sockname")[0]).partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
