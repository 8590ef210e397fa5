"""One message's dialogue on one connection, and what it came to for whom."""

from __future__ import annotations

import asyncio

from ..config import SmtpSettings
from ..delivery import Envelope, Outcome, Progress, RecipientReport, Reply, Report
from .smtp_content import FINAL_DOT, dot_stuffed, with_crlf
from .smtp_link import LinkLost, OutOfStep, ServerClosing, SmtpLink
from .smtp_offer import Offer, mail_command, rcpt_command, refusals
from .smtp_trouble import closing, login_demanded

CHUNK_BYTES = 64 * 1024
"""Content is written in pieces of this size, each bounded by the command timeout."""

_OUTCOMES = {2: Outcome.ACCEPTED, 4: Outcome.DEFERRED, 5: Outcome.REFUSED}


class Transaction:
    """One message on one connection: RFC 5321 section 3.3, and who was decided how."""

    def __init__(
        self,
        link: SmtpLink,
        offer: Offer,
        settings: SmtpSettings,
        *,
        message: tuple[Envelope, bytes],
        progress: Progress,
    ) -> None:
        envelope, content = message
        self._link = link
        self._offer = offer
        self._settings = settings
        self._envelope = envelope
        self._content = with_crlf(content)
        self._progress = progress
        self._decided: dict[str, RecipientReport] = {}
        self._last_command = ""
        self.begun = False
        """Whether the server has answered MAIL."""

    # -------------------------------------------------------------------- the dialogue

    async def run(self) -> None:
        """Go through the dialogue until every recipient is decided."""
        for recipient, reply in self._known_refusals().items():
            self._decide([recipient], Outcome.REFUSED, reply)
        commands = [
            (recipient, rcpt_command(self._envelope, recipient))
            for recipient in self._undecided()
        ]
        if not commands or not await self._mail():
            return
        for recipient, command in commands:
            await self._rcpt(recipient, command)
        if not self._undecided() or not await self._data():
            await self._reset()
            return
        await self._send_content()

    def _known_refusals(self) -> dict[str, Reply]:
        return refusals(self._envelope, len(self._content), self._offer)

    async def _mail(self) -> bool:
        command = mail_command(
            self._envelope, self._undecided(), self._content, self._offer
        )
        reply = await self._say("MAIL FROM", command, (2, 4, 5))
        if reply.code == 530:
            raise login_demanded(reply, self._settings)
        self.begun = True
        return self._goes_on(self._undecided(), reply)

    async def _rcpt(self, recipient: str, command: bytes) -> None:
        reply = await self._say("RCPT TO", command, (2, 4, 5))
        self._goes_on([recipient], reply)

    async def _data(self) -> bool:
        reply = await self._say("DATA", b"DATA", (3, 4, 5))
        return self._goes_on(self._undecided(), reply)

    async def _reset(self) -> None:
        """Clear the server's mind of a transaction that came to nothing."""
        reply = await self._say("RSET", b"RSET", (2, 4, 5))
        if _class(reply) != 2:
            self._link.abort()

    async def _say(self, name: str, command: bytes, classes: tuple[int, ...]) -> Reply:
        """Send a command and return its reply, which is of one of these classes."""
        self._last_command = name
        self._progress.note("us", command.decode())
        timeout_seconds = self._settings.command_timeout_seconds
        reply = await self._link.command(command, timeout_seconds)
        self._progress.note("them", str(reply))
        if reply.code == 421:
            raise ServerClosing(reply)
        if _class(reply) not in classes:
            raise OutOfStep(f"the reply {reply} makes no sense")
        return reply

    def _goes_on(self, recipients: list[str], reply: Reply) -> bool:
        """Decide these recipients if the reply says no; whether it did not."""
        outcome = _OUTCOMES.get(_class(reply), Outcome.ACCEPTED)
        if outcome is not Outcome.ACCEPTED:
            self._decide(recipients, outcome, reply)
        return outcome is Outcome.ACCEPTED

    # --------------------------------------------------------------------- the content

    async def _send_content(self) -> None:
        answer = self._link.expect_reply()
        if not await self._write_content(answer):
            self._answered_early(answer.result())
            return
        timeout_seconds = self._settings.data_timeout_seconds
        reply = await self._link.reply_within(answer, timeout_seconds)
        self._progress.note("them", str(reply))
        if _class(reply) == 3:
            raise OutOfStep(f"the reply {reply} makes no sense")
        self._decide(self._undecided(), _OUTCOMES[_class(reply)], reply)
        if reply.code == 421:
            self._link.abort()

    async def _write_content(self, answer: asyncio.Future[Reply]) -> bool:
        """Write it all, unless the server answers before: whether it was all written.

        No server accepts a message without its final dot, so the piece that holds it
        is the first that could complete the content.
        """
        wire = memoryview(dot_stuffed(self._content))
        last = max(0, len(wire) - CHUNK_BYTES)
        self._progress.note("us", f"({len(self._content)} bytes of content)")
        for start in range(0, last, CHUNK_BYTES):
            self._link.write(wire[start : min(start + CHUNK_BYTES, last)])
            await self._link.drain(self._settings.command_timeout_seconds)
            if answer.done():
                return False
        self._progress.final_dot_sent = True
        self._link.write(bytes(wire[last:]) + FINAL_DOT)
        return True

    def _answered_early(self, reply: Reply) -> None:
        """Take a refusal that came before the final dot; the connection is over."""
        self._progress.note("them", str(reply))
        if reply.code == 421:
            raise ServerClosing(reply)
        if _class(reply) not in (4, 5):
            raise OutOfStep(f"the reply {reply} makes no sense")
        self._decide(self._undecided(), _OUTCOMES[_class(reply)], reply)
        self._link.abort()

    # -------------------------------------------------------------------- the outcomes

    def _undecided(self) -> list[str]:
        recipients = dict.fromkeys(self._envelope.recipients)
        return [one for one in recipients if one not in self._decided]

    def _decide(self, recipients: list[str], outcome: Outcome, reply: Reply) -> None:
        self._decided.update(dict.fromkeys(recipients, RecipientReport(outcome, reply)))

    def server_ended(self, ended: LinkLost | ServerClosing) -> None:
        """Decide the rest after the server's end of the connection.

        Raises `TransportDown` if it said 421 and no recipient was decided before.
        """
        if isinstance(ended, LinkLost) or self._progress.final_dot_sent:
            self.broke_off(str(ended))
            return
        if not self._decided:
            raise closing(ended.reply, self._settings) from ended
        self._decide(self._undecided(), Outcome.DEFERRED, ended.reply)

    def broke_off(self, trouble: str) -> None:
        """Decide the rest after trouble with the link."""
        if self._progress.final_dot_sent:
            outcome, text = Outcome.UNKNOWN, f"{trouble} after the final dot"
        else:
            when = f"before the final dot, after {self._last_command}"
            outcome, text = Outcome.DEFERRED, f"{trouble} {when}"
        self._decide(self._undecided(), outcome, Reply.observed(text))

    def report(self) -> Report:
        """What it came to, in the envelope's order."""
        return Report(
            {
                one: self._decided[one]
                for one in dict.fromkeys(self._envelope.recipients)
            }
        )


def _class(reply: Reply) -> int:
    """The first digit, which decides (RFC 5321 section 4.2.1)."""
    assert reply.code is not None
    return reply.code // 100
