"""One connection to a test's mail server: aiosmtpd, which asks the script first."""

from __future__ import annotations

import asyncio
import re
import warnings
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult

from .smtp_script import Answer, Close, Die, Moment, Stall, Step
from .smtp_state import ArrivedMail, ServerState

_ADDRESS = re.compile(r"<([^<>]*)>")


class Conversation(SMTP):
    """Asks the script at each step; aiosmtpd answers if the script says nothing."""

    def __init__(self, shared: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # AUTH without TLS is for tests
            super().__init__(
                _FinalDot(),
                hostname="mail.test",
                ident="SMTP for tests",
                enable_SMTPUTF8=True,
                authenticator=lambda *given: AuthResult(
                    success=True, auth_data=given[-1].login.decode()
                ),
                auth_require_tls=False,
                loop=loop,
            )
        self._shared = shared
        self._message = 0
        self._recipients = 0
        self._says_goodbye = False
        self._is_cut = False
        self._reply_lines: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Tell the server (asyncio's hook)."""
        self._shared.server.joined(self)
        self._shared.note(f"   (connection {self._shared.server.connections_made})")
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the server (asyncio's hook)."""
        super().connection_lost(error)
        self._shared.server.left(self)

    def cut(self) -> None:
        """Close the connection at once, without a reply."""
        self._is_cut = True
        if self.transport is not None:
            cast(asyncio.Transport, self.transport).abort()

    async def push(self, status: Any) -> None:
        """Send a reply, and add it to the dialogue (aiosmtpd's)."""
        if not self._is_cut:
            self._note_reply(status if isinstance(status, str) else status.decode())
            await super().push(status)

    def _note_reply(self, line: str) -> None:
        """Add a reply to the dialogue once its last line is sent (RFC 5321 section
        4.2.1).
        """
        code, goes_on, text = line[:3], line[3:4] == "-", line[4:]
        self._reply_lines.append(text)
        if not goes_on:
            self._shared.note(f"S: {code} {', '.join(self._reply_lines)}")
            self._reply_lines.clear()

    # ------------------------------------------------------------------ step by step

    async def _handle_client(self) -> None:
        if not await self._is_over(Step.GREETING):
            await super()._handle_client()

    async def smtp_EHLO(self, hostname: str) -> None:
        """Answer EHLO (aiosmtpd's)."""
        if not await self._is_over(Step.EHLO, f"EHLO {hostname}"):
            await super().smtp_EHLO(hostname)

    async def smtp_AUTH(self, arg: str) -> None:
        """Answer AUTH; the dialogue gets no secrets (aiosmtpd's)."""
        if not await self._is_over(Step.AUTH, f"AUTH {arg.split(maxsplit=1)[0]} …"):
            await super().smtp_AUTH(arg)

    async def smtp_MAIL(self, arg: str) -> None:
        """Answer MAIL (aiosmtpd's)."""
        self._recipients = 0
        if not await self._is_over(Step.MAIL, f"MAIL {arg}"):
            await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str) -> None:
        """Answer RCPT (aiosmtpd's)."""
        if not await self._is_over(Step.RCPT, f"RCPT {arg}"):
            await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg: str) -> None:
        """Answer DATA and the content after it (aiosmtpd's)."""
        if not await self._is_over(Step.DATA, "DATA"):
            await super().smtp_DATA(arg)
            self._end_if_said()

    async def at_final_dot(self, session: Any, envelope: Any) -> str:
        """Return the reply to the final dot."""
        self._shared.note(f"C: ({len(envelope.content)} bytes and the final dot)")
        action = self._shared.script.action_at(self._moment(Step.FINAL_DOT))
        if isinstance(action, Answer):
            self._says_goodbye = action.says_goodbye
            return action.reply
        if isinstance(action, Stall):
            await self._stall(action.seconds)
        recipients, login = tuple(envelope.rcpt_tos), session.auth_data
        number = self._shared.keep(
            ArrivedMail(envelope.content, envelope.mail_from, recipients, login)
        )
        if isinstance(action, Die):
            self._shared.kill_workers()
        if isinstance(action, Die | Close):
            self._close()
        return f"250 2.0.0 Kept as mail {number}"

    async def _is_over(self, step: Step, said: str = "") -> bool:
        """Do what the script says at this step; True if nothing else must be done."""
        if said:
            self._shared.note(f"C: {said}")
        action = self._shared.script.action_at(self._moment(step, said))
        if isinstance(action, Stall):
            await self._stall(action.seconds)
        elif isinstance(action, Close):
            self._close()
        elif isinstance(action, Answer):
            await self.push(action.reply)
            self._says_goodbye = action.says_goodbye or step is Step.GREETING
            self._end_if_said()
        return isinstance(action, Answer | Close)

    async def _stall(self, seconds: float) -> None:
        self._shared.note(f"S: (says nothing for {seconds:g} s)")
        await asyncio.sleep(seconds)

    def _close(self) -> None:
        self._shared.note("S: (cuts the connection)")
        self.cut()

    def _end_if_said(self) -> None:
        """Close the connection after a reply 421 (RFC 5321 section 3.8)."""
        if self._says_goodbye and self.transport is not None:
            self.transport.close()

    def _moment(self, step: Step, said: str = "") -> Moment:
        number = self._shared.script.count(step)
        if step is Step.MAIL:
            self._message = number
        if step is not Step.RCPT:
            return Moment(step, number, self._message)
        self._recipients += 1
        address = _ADDRESS.search(said)
        return Moment(
            step, self._recipients, self._message, address[1] if address else ""
        )


class _FinalDot:
    """The object that aiosmtpd asks for the reply to the final dot."""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        reply: str = await server.at_final_dot(session, envelope)
        return reply
