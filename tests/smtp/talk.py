"""What the SMTP tests share: scripts of usual steps, and one attempt at a message."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from flask_outbox.config import SmtpSettings
from flask_outbox.delivery import Envelope, Outcome, Progress, Report
from flask_outbox.errors import TransportDown
from flask_outbox.transports.smtp import SmtpTransport
from tests.servers import CLOSE, RESET, STALL, JournalSmtp, ScriptedSmtp, Step
from tests.servers.exim import Exim
from tests.servers.haraka import Haraka
from tests.servers.scripted_smtp import CONTENT, Action
from tests.waiting import WAIT_SECONDS

SENDER = "ada@example.org"
ONE, TWO = "one@example.org", "two@example.org"
CONTENT_BYTES = b"Subject: hello\r\nMessage-ID: <1@example.org>\r\n\r\nHello\r\n"

MANY = 500

PATIENT_SECONDS = WAIT_SECONDS
"""The bound where no bound is to be met: far beyond what a busy machine needs."""

HASTY_SECONDS = 1.5
"""The bound where the test is that it is met."""

GREETING = Step("", b"220 scripted.test ready\r\n")
COPING = Step("", b"220 scripted.test ESMTP Postfix (Debian/GNU)\r\n")
"""The greeting of a server that takes commands behind a content."""
EHLO = Step("EHLO", b"250-scripted.test\r\n250 8BITMIME\r\n")
MAIL = Step("MAIL", b"250 2.1.0 sender ok\r\n")
RCPT = Step("RCPT", b"250 2.1.5 recipient ok\r\n")
DATA = Step("DATA", b"354 go on\r\n")
DOT = Step(CONTENT, b"250 2.0.0 kept\r\n")
QUIT = Step("QUIT", b"221 2.0.0 bye\r\n", CLOSE)

HELLO = [GREETING, EHLO]
ONE_MAIL = [MAIL, RCPT, DATA, DOT]

REFUSED = Step("RCPT", b"550 5.1.1 no such user\r\n")
RSET = Step("RSET", b"250 2.0.0 forgotten\r\n")

ANSWERS: dict[str, Action] = {
    "4xx": b"451 4.3.0 not now\r\n",
    "5xx": b"554 5.7.1 never\r\n",
    "421": b"421 4.3.2 shutting down\r\n",
    "nonsense": b"354 go on\r\n",
    "malformed": b"what?\r\n",
    "closed": CLOSE,
    "reset": RESET,
    "stalled": STALL,
}
"""What a server may say, or do, in place of what is wanted of it."""


def ehlo(*extensions: str) -> Step:
    """An answer to EHLO that offers these extensions."""
    lines = ["scripted.test", *extensions]
    reply = "".join(f"250-{line}\r\n" for line in lines[:-1]) + f"250 {lines[-1]}\r\n"
    return Step("EHLO", reply.encode())


def settings_for(server: JournalSmtp | ScriptedSmtp, **changes: Any) -> SmtpSettings:
    """Settings that lead to the server, with patience where not said otherwise."""
    patient = dict.fromkeys(
        (
            "connect_timeout_seconds",
            "command_timeout_seconds",
            "data_timeout_seconds",
            "deadline_seconds",
        ),
        PATIENT_SECONDS,
    )
    return SmtpSettings(
        server.host,
        server.port,
        **{**patient, "local_hostname": "client.test", **changes},
    )


@dataclass
class Attempt:
    """What one call of `deliver` came to."""

    report: Report | None = None
    down: TransportDown | None = None
    progress: Progress = field(default_factory=Progress)

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcomes in the envelope's order."""
        assert self.report is not None, self.down
        return [one.outcome for one in self.report.recipients.values()]

    @property
    def replies(self) -> list[str]:
        """The replies in the envelope's order."""
        assert self.report is not None, self.down
        return [str(one.reply) for one in self.report.recipients.values()]

    @property
    def reason(self) -> str:
        """The sentence of `TransportDown`."""
        assert self.down is not None, self.report
        return str(self.down)

    @property
    def dialogue(self) -> list[str]:
        """The lines of the progress, as ``"us: …"`` and ``"them: …"``."""
        return self.progress.lines


async def attempt(
    transport: SmtpTransport,
    *recipients: str,
    content: bytes = CONTENT_BYTES,
    return_path: str = SENDER,
    **envelope: Any,
) -> Attempt:
    """Try to deliver a message, by default to one recipient."""
    made = Attempt()
    try:
        made.report = await transport.deliver(
            Envelope(return_path, recipients or (ONE,), **envelope),
            content,
            made.progress,
        )
    except TransportDown as down:
        made.down = down
    return made


def deliver_once(settings: SmtpSettings, *recipients: str, **message: Any) -> Attempt:
    """One attempt over a transport of its own, closed afterwards."""

    async def run() -> Attempt:
        transport = SmtpTransport(settings)
        try:
            return await attempt(transport, *recipients, **message)
        finally:
            await transport.close()

    return asyncio.run(run())


def in_turn(
    *scripts: list[Step], count: int, **settings: Any
) -> tuple[list[Attempt], ScriptedSmtp]:
    """So many messages one after the other, by one transport."""

    async def run(server: ScriptedSmtp) -> list[Attempt]:
        transport = SmtpTransport(settings_for(server, **settings))
        try:
            return [await attempt(transport) for _ in range(count)]
        finally:
            await transport.close()

    with ScriptedSmtp(*scripts) as server:
        return asyncio.run(run(server)), server


def at_once(
    *scripts: list[Step], count: int, **settings: Any
) -> tuple[list[Attempt], ScriptedSmtp]:
    """So many messages at a time, over one connection."""

    async def run(server: ScriptedSmtp) -> list[Attempt]:
        changes = {"max_connections": 1, **settings}
        transport = SmtpTransport(settings_for(server, **changes))
        try:
            async with asyncio.timeout(PATIENT_SECONDS):
                return await asyncio.gather(*(attempt(transport) for _ in range(count)))
        finally:
            await transport.close()

    with ScriptedSmtp(*scripts) as server:
        return asyncio.run(run(server)), server


def deliver_many(server: Exim | Haraka) -> None:
    """A message to each of many, over two connections; all have to arrive once."""
    addresses = [f"reader{number}@example.org" for number in range(MANY)]

    async def run() -> None:
        settings = SmtpSettings(
            server.host,
            server.port,
            local_hostname="client.test",
            connect_timeout_seconds=PATIENT_SECONDS,
            max_connections=2,
        )
        transport = SmtpTransport(settings)
        attempts = (attempt(transport, one) for one in addresses)
        for made in await asyncio.gather(*attempts):
            assert made.outcomes == [Outcome.ACCEPTED]
        await transport.close()

    asyncio.run(run())
    assert Counter(server.taken) == Counter(addresses)
