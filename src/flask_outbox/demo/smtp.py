"""The demo's SMTP server."""

from __future__ import annotations

from email import policy
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any, ClassVar

from aiosmtpd.smtp import SMTP

from .server import HOST, Arrival, Behaviour, Codes, LocalServer, arrived_at

_REPLIES = {
    Behaviour.BUSY: "451 4.3.2 Too busy now, please try again later",
    Behaviour.REFUSING: "550 5.7.1 This server refuses all mail now",
}


class LocalSmtp(LocalServer):
    """A real SMTP server."""

    name = "SMTP server"
    codes: ClassVar[Codes] = Codes(yes=250, not_now=451, never=550)
    suffix = ".eml"

    @property
    def url(self) -> str:
        """Its address, without a login."""
        return f"smtp://{HOST}:{self.port}"

    def converse(self) -> SMTP:
        """A session of aiosmtpd."""
        return SMTP(self, hostname="localhost", enable_SMTPUTF8=True, loop=self._loop)

    def read(self, path: Path) -> Arrival:
        """The mail, which is known by its Message-ID: this begins with our id."""
        with path.open("rb") as file:
            headers = BytesHeaderParser(policy=policy.default).parse(file)
        rfc_message_id = headers.get("Message-ID", "")
        return Arrival(
            number=int(path.stem),
            at=arrived_at(path),
            subject=headers.get("Subject", ""),
            message_id=rfc_message_id.partition("@")[0].strip("<"),
            known_as=rfc_message_id,
            path=path,
        )

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        """Answer RCPT TO (aiosmtpd's hook)."""
        if refusal := _REPLIES.get(self.behaviour):
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Recipient ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Answer the final dot (aiosmtpd's hook)."""
        await self.take_its_time()
        arrival = self.keep(envelope.content)
        return f"250 2.0.0 Accepted as mail {arrival.number}"
