"""A transport by SMTP, step by step: as a courier does it, up to NOOP."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

import aiosmtplib

from ..config import SmtpSettings, is_loopback
from ..delivery import Progress
from ..errors import TransportDown
from ..transports.smtp import errors
from ..transports.smtp.capabilities import Offer
from ..transports.smtp.connect import (
    address_literal,
    greet,
    own_name,
    reach,
    tls_context,
)
from ..transports.smtp.errors import Step, as_reply
from ..transports.smtp.login import Client, Login
from .findings import Section

QUIT_SECONDS = 1.0

DAY_SECONDS = 86_400.0
DAYS_LEFT = 14

SMALL_BYTES = 5_000_000

Clock = Callable[[], float]


async def examine_smtp(
    section: Section,
    settings: SmtpSettings,
    longest_seconds: float,
    clock: Clock = time.time,
) -> None:
    """Talk with the server up to NOOP, and note each step; send nothing.

    A connect timeout that is shorter than ``longest_seconds`` counts.
    """
    section.note("Server", f"{settings.place}, {settings.security}")
    _check_settings(section, settings)
    seconds = min(settings.connect_timeout_seconds, longest_seconds)
    bounded = replace(settings, connect_timeout_seconds=seconds)
    await _Examination(section, bounded, clock).run()


def _check_settings(section: Section, settings: SmtpSettings) -> None:
    if settings.half_login:
        section.find(
            "login-half",
            f"The login for {settings.place} has no {settings.half_login}.",
            "Set MAIL_USERNAME and MAIL_PASSWORD, or neither.",
        )
    if settings.security != "plain" and not settings.verify:
        section.find(
            "certificate-not-verified",
            f"The certificate of {settings.place} is not verified.",
            "Remove MAIL_TLS_VERIFY; for an authority of your own set "
            "MAIL_TLS_CA_FILE.",
        )
    if settings.security == "plain" and not is_loopback(settings.host):
        id = "password-not-encrypted" if settings.username else "smtp-not-encrypted"
        section.find(
            id,
            f"The connection to {settings.place} has no TLS.",
            "Or set MAIL_USE_TLS = True and MAIL_PORT = 587.",
            f'MAIL_URL = "smtp+starttls://{settings.host}:587"',
        )


class _Examination:
    """The examination of one server."""

    def __init__(self, section: Section, settings: SmtpSettings, clock: Clock) -> None:
        self._section = section
        self._settings = settings
        self._clock = clock
        self._step = Step.REACH
        self._missing = "tls-files"
        """The id of what is missing if a step cannot even be taken."""

    async def run(self) -> None:
        """Take every step; the first that fails is the last."""
        try:
            async with asyncio.timeout(self._settings.connect_timeout_seconds):
                await self._talk()
        except TransportDown as error:
            gave_no_token = self._step is Step.ASK
            self._find("login-token" if gave_no_token else self._missing, error)
        except errors.EXPECTED as error:
            down = errors.explain(error, self._step, self._settings)
            self._find(_id_of(error, self._step), down)

    def _find(self, id: str, error: TransportDown) -> None:
        saw, stop, todo = str(error).partition(". ")
        self._section.find(id, f"{saw}." if stop else saw, todo or "Look at its log.")

    async def _talk(self) -> None:
        settings = self._settings
        client = Client(
            hostname=settings.host,
            local_hostname=settings.local_hostname or await own_name() or "localhost",
            timeout=None,
            use_tls=settings.security == "tls",
            start_tls=False,
            tls_context=None if settings.security == "plain" else tls_context(settings),
        )
        try:
            await self._connect(client)
            if settings.security == "starttls":
                await self._secure(client)
            if settings.username is not None:
                await self._log_in(client)
            elif client.supports_extension("auth"):
                self._find_no_login()
            self._check_offer(client)
            self._step = Step.READY
            reply = await client.noop()
            self._section.note("NOOP", str(as_reply(reply.code, reply.message)))
            await _say_goodbye(client)
        finally:
            self._step = client.step if self._step is not Step.READY else self._step
            client.close()

    async def _connect(self, client: Client) -> None:
        note = self._section.note
        settings = self._settings
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM
        )
        addresses = dict.fromkeys(str(one[4][0]) for one in found)
        note("DNS", f"{settings.host} is {', '.join(addresses)}")
        reached = await reach(settings.host, settings.port)
        note("TCP", f"connected to {reached.getpeername()[0]}")
        client.step = Step.GREETING
        greeting = await client.greeted(reached)
        client.greeting = greeting.message
        if settings.security == "tls":
            self._check_certificate(client)
        note("Greeting", str(as_reply(greeting.code, greeting.message)))
        if client.local_hostname == "localhost":
            client.local_hostname = address_literal(client)
        await self._greet(client)

    async def _greet(self, client: Client) -> None:
        await greet(client, Progress())
        offered = ", ".join(sorted(client.esmtp_extensions)) or "nothing"
        self._section.note("EHLO", f"as {client.local_hostname}: {offered.upper()}")

    async def _secure(self, client: Client) -> None:
        if not client.supports_extension("starttls"):
            self._missing = "starttls-missing"
            raise errors.no_starttls(self._settings)
        client.step = Step.STARTTLS
        await client.starttls()
        self._check_certificate(client)
        await self._greet(client)

    def _check_certificate(self, client: Client) -> None:
        tls = client.get_transport_info("ssl_object")
        self._section.note("TLS", f"{tls.version()}, {tls.cipher()[0]}")
        certificate = tls.getpeercert()
        if not certificate:
            return
        ends_at = ssl.cert_time_to_seconds(certificate["notAfter"])
        days = int((ends_at - self._clock()) / DAY_SECONDS)
        self._section.note("Certificate", f"verified, {days} days left")
        if days < DAYS_LEFT:
            self._section.find(
                "certificate-ends-soon",
                f"The certificate of {self._settings.place} expires in {days} days.",
                "Have the server renew it, or tell its owner.",
            )

    async def _log_in(self, client: Client) -> None:
        if not client.supports_extension("auth"):
            self._missing = "login-missing"
            raise errors.no_auth(self._settings)
        self._missing = "login-mechanism"
        login = Login(self._settings)
        reply = await login.log_in(client, login.rejections)
        self._section.note("Login", f"as {self._settings.username}: {reply}")

    def _find_no_login(self) -> None:
        self._section.find(
            "login-not-used",
            f"{self._settings.place} offers a login, and none is set.",
            "Set MAIL_USERNAME and MAIL_PASSWORD, unless it accepts mail without them.",
        )

    def _check_offer(self, client: Client) -> None:
        offer = Offer.read(client.esmtp_extensions, client.greeting)
        limit = offer.size_limit_bytes
        self._section.note(
            "SIZE", "no limit said" if limit is None else f"{limit / 1e6:,.1f} MB"
        )
        if limit is not None and limit < SMALL_BYTES:
            self._section.find(
                "size-small",
                f"{self._settings.place} takes at most {limit:,} bytes.",
                "Raise the server's limit; Postfix has it in main.cf.",
                "message_size_limit = 26214400",
            )
        if not (offer.pipelining or offer.eight_bit):
            self._section.find(
                "extensions-missing",
                f"{self._settings.place} offers neither.",
                "If a firewall changes the dialogue (as Cisco's fixup does), have it "
                "let SMTP pass.",
            )


async def _say_goodbye(client: Client) -> None:
    """Nothing depends on the answer."""
    with suppress(aiosmtplib.SMTPException, OSError):
        async with asyncio.timeout(QUIT_SECONDS):
            await client.quit()


_BY_STEP = {
    Step.GREETING: "smtp-greeting",
    Step.EHLO: "smtp-ehlo",
    Step.STARTTLS: "starttls-failed",
}
"""Where a connection breaks → the fault, if nothing of `_BY_KIND` is its cause."""

_BY_CODE = {
    10: "certificate-expired",
    62: "certificate-name",
    64: "certificate-name",
}
"""OpenSSL's verify code → the fault."""

_BY_KIND: Mapping[type[BaseException], str] = {
    socket.gaierror: "smtp-name",
    ssl.SSLError: "starttls-failed",
    TimeoutError: "smtp-silent",
    ConnectionRefusedError: "smtp-refused",
    aiosmtplib.SMTPAuthenticationError: "login-rejected",
}
"""What is raised → the fault; the first match counts."""


def _id_of(error: BaseException, step: Step) -> str:
    """The id of the fault behind an error at a step; the innermost cause decides."""
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    for cause in reversed(causes):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _BY_CODE.get(cause.verify_code, "certificate-unknown")
        for kind, id in _BY_KIND.items():
            if isinstance(cause, kind):
                return id
    return _BY_STEP.get(step, "smtp-unreachable")
