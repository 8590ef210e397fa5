"""A real SMTP server (aiosmtpd) that journals each mail, synced, before its 250.

In a test::

    with JournalSmtp(tmp_path / "journal") as server:
        ...send something to server.host, server.port...
        (mail,) = server.wait_for(1)
        assert mail.recipients == ("ada@example.org",)

        server.behaviour = Behaviour(at_data="451 4.3.0 try later")   # from now on
        server.go_down()                                  # refuses connections
        server.come_back()                                # on the same port

As a process of its own, which survives whatever the test kills::

    python -m tests.servers.journal_smtp --port 2525 --journal PATH

It prints ``listening on 127.0.0.1:2525`` once it does (``--port 0`` takes a free one,
``--host`` another address), and takes one `Behaviour` a line on its standard input, as
JSON: ``{"delay_seconds": 10}``; ``{}`` is good behaviour; ``"down"`` and ``"up"`` do as
they say. It answers each with ``obeyed …``, and ``"held"`` with ``held 2``, and ends on
SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import email
import json
import os
import signal
import ssl
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from flask_outbox.testing.smtp_state import LoopbackServer
from tests.servers.ports import free_port
from tests.waiting import WAIT_SECONDS

HANG_LOOK_SECONDS = 0.01
"""How often a hanging conversation looks whether it may go on."""


@dataclass(frozen=True)
class Behaviour:
    """How the server treats what comes next; the default is well."""

    delay_seconds: float = 0.0
    """Wait this long after the final dot, before the journal and the reply."""
    most_connections: int | None = None
    """Accept at most so many connections at a time, and greet others with `beyond`."""
    beyond: str = "421 4.7.0 too many connections"
    """The greeting of those; "" closes without one."""
    at_mail: str | None = None
    """Answer every MAIL with this reply, for example ``"451 4.3.0 later"``."""
    at_rcpt: str | None = None
    """Answer every RCPT with this reply."""
    recipients: Mapping[str, str] = field(default_factory=dict)
    """Answer the RCPT of these addresses with these replies."""
    at_data: str | None = None
    """Answer the final dot with this reply, and journal nothing."""
    hang: bool = False
    """After the final dot say nothing, until behaviour changes; journal nothing yet."""
    drop: str | None = None
    """After the final dot close the connection without a reply: ``"journaled"`` or
    ``"unjournaled"`` says whether the mail was kept before."""


@dataclass(frozen=True)
class Mail:
    """One journaled mail."""

    at: float
    return_path: str
    recipients: tuple[str, ...]
    mail_options: tuple[str, ...]
    rcpt_options: tuple[str, ...]
    rfc_message_id: str
    content: bytes
    login: str | None = None

    def to_json(self) -> str:
        """One line of the journal."""
        content = base64.b64encode(self.content).decode("ascii")
        return json.dumps({**self.__dict__, "content": content})

    @classmethod
    def from_json(cls, line: str) -> Mail:
        """Read a line of the journal."""
        row = json.loads(line)
        for name in ("recipients", "mail_options", "rcpt_options"):
            row[name] = tuple(row[name])
        return cls(**{**row, "content": base64.b64decode(row["content"])})


def read_journal(path: Path) -> list[Mail]:
    """All mails in a journal, also of a server that was killed; [] if there is none."""
    if not path.exists():
        return []
    return [Mail.from_json(line) for line in path.read_text().splitlines()]


class JournalSmtp(LoopbackServer):
    """The server; a context manager, or `start` and `stop`.

    ``users`` (name → password) makes it demand AUTH. ``tls`` offers STARTTLS with that
    context, or speaks TLS from the first byte with ``implicit_tls``. ``options`` go to
    `aiosmtpd.smtp.SMTP` (``data_size_limit``, ``require_starttls``, …). The attributes
    `behaviour`, `mails` and the counters (`connections_made`, `most_connections` at a
    time, mails `held` while it hangs, connections `turned_away`) may be used from any
    thread.
    """

    def __init__(
        self,
        journal: Path,
        *,
        port: int = 0,
        users: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(port or free_port(), tls if implicit_tls else None)
        self.journal = journal
        self.behaviour = Behaviour()
        self.mails: list[Mail] = []
        self.held = 0
        self.turned_away = 0
        self._users = users
        self._options = {"hostname": "journal.test", "enable_SMTPUTF8": True, **options}
        if tls is not None and not implicit_tls:
            self._options["tls_context"] = tls
        if users is not None:
            self._options.update(auth_required=True, authenticator=self._authenticate)
            self._options.setdefault("auth_require_tls", tls is not None)

    # ------------------------------------------------------------------ from outside

    def wait_for(self, count: int, timeout_seconds: float = WAIT_SECONDS) -> list[Mail]:
        """Return the journaled mails once there are ``count``, or fail."""
        self.wait_until(lambda: len(self.mails) >= count, timeout_seconds)
        return list(self.mails)

    @property
    def arrived(self) -> list[str]:
        """The Message-IDs of all mails so far, sorted."""
        return sorted(mail.rfc_message_id for mail in self.mails)

    def wait_until(
        self, true: Callable[[], Any], timeout_seconds: float = WAIT_SECONDS
    ) -> bool:
        """Return once ``true()``, looked at when a mail or connection comes or goes."""
        if not super().wait_until(true, timeout_seconds):
            raise AssertionError(
                f"not within {timeout_seconds} s: {len(self.mails)} mails, "
                f"{self.connections} connections open"
            )
        return True

    # ---------------------------------------------------------------- in its own loop

    def lets_in(self) -> bool:
        """Whether one more connection is within the behaviour's limit."""
        most = self.behaviour.most_connections
        if most is None or self.connections < most:
            return True

        def count() -> None:
            self.turned_away += 1

        self.tell(count)
        return False

    def _converse(self) -> _Conversation:
        return _Conversation(self, self._options, self._loop)

    def _authenticate(self, *arguments: Any) -> AuthResult:
        login = arguments[-1]
        assert isinstance(login, LoginPassword)
        known = (self._users or {}).get(login.login.decode())
        right = known is not None and known.encode() == login.password
        return AuthResult(success=right, handled=False, auth_data=login.login.decode())

    async def handle_MAIL(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        """Answer MAIL FROM (aiosmtpd's hook)."""
        if self.behaviour.at_mail:
            return self.behaviour.at_mail
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 sender ok"

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        """Answer RCPT TO (aiosmtpd's hook)."""
        refusal = self.behaviour.recipients.get(address, self.behaviour.at_rcpt)
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 recipient ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Answer the final dot (aiosmtpd's hook)."""
        if self.behaviour.delay_seconds:
            await asyncio.sleep(self.behaviour.delay_seconds)
        if self.behaviour.hang:
            await self._hang()
        behaviour = self.behaviour
        if behaviour.at_data:
            return behaviour.at_data
        if behaviour.drop != "unjournaled":
            self._keep(session, envelope)
        if behaviour.drop:
            server.cut()
        return f"250 2.0.0 journaled as {len(self.mails)}"

    async def _hang(self) -> None:
        self._count_held(+1)
        try:
            while self.behaviour.hang:
                await asyncio.sleep(HANG_LOOK_SECONDS)
        finally:
            self._count_held(-1)

    def _count_held(self, change: int) -> None:
        def count() -> None:
            self.held += change

        self.tell(count)

    def _keep(self, session: Any, envelope: Any) -> None:
        content = envelope.content
        headers = email.message_from_bytes(content.partition(b"\r\n\r\n")[0])
        mail = Mail(
            at=time.time(),
            return_path=envelope.mail_from,
            recipients=tuple(envelope.rcpt_tos),
            mail_options=tuple(envelope.mail_options),
            rcpt_options=tuple(envelope.rcpt_options),
            rfc_message_id=str(headers.get("Message-ID", "")),
            content=content,
            login=session.auth_data,
        )
        with self.journal.open("a") as journal:
            journal.write(mail.to_json() + "\n")
            journal.flush()
            os.fsync(journal.fileno())
        self.tell(lambda: self.mails.append(mail))


class _Conversation(SMTP):
    """One connection: aiosmtpd's class, which also reports its beginning and end."""

    def __init__(
        self,
        owner: JournalSmtp,
        options: dict[str, Any],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        with _no_warning_about_plain_login():
            super().__init__(owner, loop=loop, **options)
        self._owner = owner
        self._begun = False
        self._turned_away = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._begun:  # it is called again after STARTTLS
            self._begun = True
            if not self._owner.lets_in():
                self._turned_away = True
                self._turn_away(cast(asyncio.Transport, transport))
                return
            self._owner.joined(self)
        super().connection_made(transport)

    def _turn_away(self, transport: asyncio.Transport) -> None:
        beyond = self._owner.behaviour.beyond
        transport.write(f"{beyond}\r\n".encode() if beyond else b"")
        transport.close()

    def eof_received(self) -> bool:
        """Close the connection, also when the client went before it was greeted.

        aiosmtpd leaves that to its handler, which under uvloop may not have begun.
        """
        if not self._turned_away:
            super().eof_received()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if self._turned_away:
            return
        super().connection_lost(error)
        self._owner.left(self)

    def cut(self) -> None:
        """Close the connection at once."""
        if self.transport is not None:
            cast(asyncio.Transport, self.transport).abort()


@contextlib.contextmanager
def _no_warning_about_plain_login() -> Any:
    """Ignore aiosmtpd's warning about AUTH without TLS: a test asked for it."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Requiring AUTH")
        yield


# ------------------------------------------------------------- as a process of its own


def _obey(server: JournalSmtp, line: str) -> str:
    order = json.loads(line)
    if order == "held":
        return f"held {server.held}"
    if order == "down":
        server.go_down()
    elif order == "up":
        server.come_back()
    else:
        server.behaviour = Behaviour(**order)
    return f"obeyed {line.strip()}"


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default=JournalSmtp.host)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--journal", type=Path, required=True)
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = JournalSmtp(chosen.journal, port=chosen.port)
    server.host = chosen.host
    with contextlib.suppress(KeyboardInterrupt), server:
        print(f"listening on {server.host}:{server.port}", flush=True)
        for line in sys.stdin:
            print(_obey(server, line), flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
