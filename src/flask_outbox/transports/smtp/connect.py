"""Makes a connection that is ready for mail: reach, greet, secure, log in.

`reach` tries the addresses of a host as RFC 8305 describes. asyncio's
``happy_eyeballs_delay`` does the same, but uvloop lacks it. aiosmtplib does the rest;
its asyncio transport then goes to an `SmtpSession`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import defaultdict, deque
from collections.abc import Iterable
from functools import cached_property
from itertools import chain, zip_longest
from typing import Any, NamedTuple

import aiosmtplib

from ...config import SmtpSettings
from ...delivery import Progress
from . import errors
from .capabilities import Offer
from .errors import Step, as_reply
from .login import Client, Login
from .protocol import SmtpLink
from .session import PipelineAfterContent, SmtpSession

NEXT_AFTER_SECONDS = 0.25
"""How long to wait for an address before trying the next too (RFC 8305 section 5)."""


class SocketAddress(NamedTuple):
    """One address of a host, as ``getaddrinfo`` gives it."""

    family: int
    kind: int
    protocol: int
    name: str
    address: Any


async def reach(host: str, port: int) -> socket.socket:
    """Return a connected socket, which the caller must close.

    An address that fails or does not answer soon does not delay the next one, and has
    no time limit of its own: the caller sets one for all. Raises `OSError` if none can
    be reached. Leaves nothing else open.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    waiting = deque(_interleaved(SocketAddress(*one) for one in found))
    tries: list[asyncio.Task[socket.socket]] = []
    reached: socket.socket | None = None
    try:
        while reached is None and (waiting or _pending(tries)):
            if waiting:
                tries.append(asyncio.create_task(_connect(waiting.popleft())))
            await asyncio.wait(
                _pending(tries),
                timeout=NEXT_AFTER_SECONDS if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            reached = next(iter(_connected(tries)), None)
        if reached is None:
            raise _most_informative(tries)
        return reached
    finally:
        await _end(tries, reached)


def _interleaved(places: Iterable[SocketAddress]) -> list[SocketAddress]:
    """The addresses, alternating between families (RFC 8305 section 4)."""
    families: dict[int, list[SocketAddress]] = defaultdict(list)
    for place in places:
        families[place.family].append(place)
    turns = chain.from_iterable(zip_longest(*families.values()))
    return [place for place in turns if place is not None]


async def _connect(place: SocketAddress) -> socket.socket:
    reached = socket.socket(place.family, place.kind, place.protocol)
    try:
        reached.setblocking(False)
        await asyncio.get_running_loop().sock_connect(reached, place.address)
    except BaseException:
        reached.close()
        raise
    return reached


def _pending(
    tries: Iterable[asyncio.Task[socket.socket]],
) -> list[asyncio.Task[socket.socket]]:
    return [one for one in tries if not one.done()]


def _connected(tries: Iterable[asyncio.Task[socket.socket]]) -> list[socket.socket]:
    return [
        one.result()
        for one in tries
        if one.done() and not one.cancelled() and one.exception() is None
    ]


def _most_informative(tries: Iterable[asyncio.Task[socket.socket]]) -> BaseException:
    """The first refusal, which shows that the host is up; else the first error."""
    errors = [error for one in tries if (error := one.exception()) is not None]
    refusals = (one for one in errors if isinstance(one, ConnectionRefusedError))
    return next(refusals, errors[0])


async def _end(
    tries: Iterable[asyncio.Task[socket.socket]], reached: socket.socket | None
) -> None:
    for one in tries:
        one.cancel()
    await asyncio.gather(*tries, return_exceptions=True)
    for other in _connected(tries):
        if other is not reached:
            other.close()


OWN_NAME_SECONDS = 2.0
"""Time limit for finding this machine's name: a broken DNS must not stop mail."""


class SmtpConnector:
    """Opens connections to the server of its settings."""

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._own_name = settings.local_hostname
        self._login = Login(settings)
        self._riding = PipelineAfterContent(settings)

    async def connect(self, progress: Progress) -> SmtpSession:
        """Return a session ready for mail, within the connect timeout.

        Raises `TransportDown` if that fails, with the original error as its cause.
        Then, or when cancelled, it leaves no connection open. Credentials are sent only
        once the connection meets all requirements of the settings.
        """
        client: Client | None = None
        try:
            client = await self._client()
            async with asyncio.timeout(self._settings.connect_timeout_seconds):
                await self._secure_and_log_in(client, progress)
            return self._as_session(client)
        except errors.EXPECTED as error:
            step = client.step if client else Step.REACH
            raise errors.explain(error, step, self._settings) from error
        finally:
            if client is not None:
                client.close()

    async def _client(self) -> Client:
        """A new client; the slow parts of making one are done once and reused."""
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

    async def _secure_and_log_in(self, client: Client, progress: Progress) -> None:
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
            client.local_hostname = address_literal(client)
        await greet(client, progress)
        if settings.security == "starttls":
            await self._secure(client, progress)
        if settings.username is not None:
            reply = await self._login.log_in(client, rejections)
            progress.note("us", f"authenticated as {settings.username}")
            progress.note("them", str(reply))
        client.step = Step.READY

    async def _secure(self, client: Client, progress: Progress) -> None:
        if not client.supports_extension("starttls"):
            raise errors.no_starttls(self._settings)
        client.step = Step.STARTTLS
        progress.note("us", "STARTTLS")
        await client.starttls()
        progress.note("us", self._tls_words(client))
        await greet(client, progress)

    def _tls_words(self, client: Client) -> str:
        version = client.get_transport_info("ssl_object").version()
        verified = "verified" if self._settings.verify else "NOT verified"
        return f"{version}, certificate {verified}"

    def _as_session(self, client: Client) -> SmtpSession:
        """Move the connection from the client to a session."""
        link = SmtpLink(client.release_transport())
        offer = Offer.read(client.esmtp_extensions, client.greeting)
        return SmtpSession(link, offer, self._settings, self._riding)


async def greet(client: Client, progress: Progress) -> None:
    """Send EHLO, or HELO to a server that does not know it (RFC 5321 section 3.2)."""
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
    """A context for TLS 1.2 or later, with verification unless the settings disable it.

    Raises `TransportDown` if a file of the settings cannot be loaded.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        raise errors.bad_ca_file(error, settings) from error
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
            raise errors.bad_client_certificate(error, settings) from error
    return context


def _no_passphrase() -> str:
    """Raise, because OpenSSL would otherwise ask for the passphrase on the terminal."""
    raise ValueError("the key has a passphrase")


async def own_name() -> str:
    """This machine's fully qualified name; "" if it has none or the lookup is slow."""
    try:
        async with asyncio.timeout(OWN_NAME_SECONDS):
            name = await asyncio.to_thread(socket.getfqdn)
    except TimeoutError:
        return ""
    return name if "." in name and name.isascii() and name.isprintable() else ""


def address_literal(client: Client) -> str:
    """EHLO's argument without a name (RFC 5321 section 4.1.4): ``[192.0.2.1]``."""
    address = str(client.get_transport_info("sockname")[0]).partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
