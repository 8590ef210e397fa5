"""A model of an SMTP server (RFC 5321, 2920, 3030) with habits seen in real ones.

It is a state machine over bytes: what it has open, and what may be said next, is in
`Session`. It runs on whatever event loop it is in, so that a test may give it a clock
of its own; `ModelSmtp` puts it behind a real socket.

What it says *about* a message names the sender, the recipient or the content. What it
says about its own state names nobody.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self, cast

from tests.servers.ports import free_port
from tests.waiting import WAIT_SECONDS


class Riders(StrEnum):
    """What happens to commands that follow a content before its reply."""

    FINE = "taken"
    REFUSED = "answered 503, line by line"
    SWALLOWED = "dropped"
    FATAL = "the end of the connection, without a verdict"


@dataclass(frozen=True)
class Habits:
    """How a server differs from the RFCs. Times are in the loop's seconds."""

    pipelining: bool = True
    chunking: bool = False
    riders: Riders = Riders.FINE
    keeps_sender: bool = False
    """After a refused content it keeps the sender."""
    keeps_recipients: bool = False
    """And the recipients."""
    goes_ahead_for_nobody: bool = False
    """DATA without a recipient is answered 354."""
    credit: int | None = None
    """So many MAIL per session; later ones get 452."""
    connections: int | None = None
    login_at: str = ""
    """The step that requires a login: MAIL, RCPT, DATA or the final dot."""
    login_times: int = 0
    """How often it does, until there is one."""
    recipients: int | None = None
    """So many recipients per transaction; later ones get `too_many`."""
    too_many: str = "452 4.5.3 Error: too many recipients"
    errors: int | None = None
    """So many refusals per session; then 421 and the end."""
    drops: frozenset[int] = frozenset()
    """The commands, counted over all sessions, at which the connection is lost."""
    drops_after_content: frozenset[int] = frozenset()
    """The contents after which, once stored, the connection is lost without a reply."""
    command_seconds: float = 0.001
    verdict_seconds: float = 0.001
    flush_seconds: float = 0.0
    """How long replies are collected before they are sent."""


@dataclass(frozen=True)
class Fate:
    """How the server treats one name: how often it refuses, and whether permanently."""

    times: int = 0
    code: int = 450

    @property
    def for_good(self) -> bool:
        """Whether it is always refused."""
        return self.code >= 500 and self.times > 0


@dataclass(frozen=True)
class Kept:
    """One accepted mail: the name in its content, and its envelope."""

    content: str
    sender: str
    recipients: tuple[str, ...]


@dataclass
class Model:
    """The server behind all sessions, and the mails it has stored."""

    habits: Habits
    fates: dict[str, Fate] = field(default_factory=dict)
    """By sender, recipient, or the name in the content's ``Subject``."""
    kept: list[Kept] = field(default_factory=list)
    open: int = 0
    sessions: int = 0
    riders_met: int = 0
    """How often commands followed a content although it cannot cope with that."""
    _commands: int = 0
    _contents: int = 0
    _logins_demanded: int = 0
    _said_no: Counter[str] = field(default_factory=Counter)

    @property
    def full(self) -> bool:
        """Whether no further connection is let in."""
        limit = self.habits.connections
        return limit is not None and self.open >= limit

    def verdict(self, name: str) -> str | None:
        """The refusal that this name gets now, if any."""
        fate = self.fates.get(name)
        if fate is None or not (fate.for_good or self._said_no[name] < fate.times):
            return None
        self._said_no[name] += 1
        return f"{fate.code} {fate.code // 100}.7.1 <{name}> is refused"

    def login_demanded(self, step: str) -> bool:
        """Whether this step now requires a login."""
        if step != self.habits.login_at:
            return False
        self._logins_demanded += 1
        return self._logins_demanded <= self.habits.login_times

    def drops_now(self) -> bool:
        """Count a command; return whether the connection is lost at it."""
        self._commands += 1
        return self._commands in self.habits.drops

    def keep(self, mail: Kept) -> bool:
        """Store a mail; return whether its reply can still be sent."""
        self.kept.append(mail)
        self._contents += 1
        return self._contents not in self.habits.drops_after_content


_ADDRESS = re.compile(rb"<(.*?)>")
_SUBJECT = re.compile(rb"^Subject: (\S+)", re.M)
_NESTED = "503 5.5.1 Error: nested MAIL command"
_NEED_MAIL = "503 5.5.1 Error: need MAIL command"
_NEED_RCPT = "503 5.5.1 Error: need RCPT command"
_DEMANDED = "530 5.7.0 Authentication required"
_OK = "250 2.0.0 ok"


class Session:
    """One connection, as the server sees it.

    ``say`` sends bytes, ``hang_up`` ends the connection. What arrives is worked on one
    command at a time, each in its time.
    """

    def __init__(
        self, model: Model, say: Callable[[bytes], None], hang_up: Callable[[], None]
    ) -> None:
        self._model = model
        self._habits = model.habits
        self._say = say
        self._hang_up = hang_up
        self._loop = asyncio.get_running_loop()
        self._unread = b""
        self._unsaid = b""
        self._busy = False
        self._gone = False
        self._content_wanted = False
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._mails = 0
        self._errors = 0
        model.sessions += 1
        model.open += 1

    def receive(self, data: bytes) -> None:
        """Take what the client wrote."""
        self._unread += data
        self._work_on()

    def gone(self) -> None:
        """The client has ended the connection, or we have."""
        if not self._gone:
            self._gone = True
            self._model.open -= 1

    # ------------------------------------------------------------------ its clockwork

    def _work_on(self) -> None:
        if not self._busy and not self._gone and self._next_is_whole():
            self._busy = True
            self._loop.call_later(self._habits.command_seconds, self._take_next)

    def _next_is_whole(self) -> bool:
        if self._content_wanted:
            return b"\r\n.\r\n" in b"\r\n" + self._unread
        line, end, rest = self._unread.partition(b"\r\n")
        return bool(end) and (not _is_chunk(line) or len(rest) >= _size(line))

    def _take_next(self) -> None:
        self._busy = False
        if self._gone:
            return
        if self._model.drops_now():
            self._end()
        elif self._content_wanted:
            content, _, rest = (b"\r\n" + self._unread).partition(b"\r\n.\r\n")
            self._unread, self._content_wanted = rest, False
            self._judge_in_time(content[2:])
        else:
            line, _, self._unread = self._unread.partition(b"\r\n")
            if _is_chunk(line):
                size = _size(line)
                content, self._unread = self._unread[:size], self._unread[size:]
                self._take_chunk(content)
            else:
                self._take_command(line)
        self._work_on()

    def _reply(self, text: str) -> None:
        if text[0] in "45":
            self._errors += 1
            limit = self._habits.errors
            if limit is not None and self._errors > limit:
                self._unsaid += b"421 4.7.0 Error: too many errors\r\n"
                self._flush()
                self._end()
                return
        if not self._unsaid:
            self._loop.call_later(self._habits.flush_seconds, self._flush)
        self._unsaid += text.encode() + b"\r\n"

    def _flush(self) -> None:
        unsaid, self._unsaid = self._unsaid, b""
        if unsaid and not self._gone:
            self._say(unsaid)

    def _end(self) -> None:
        if not self._gone:
            self.gone()
            self._hang_up()

    # -------------------------------------------------------------------- its commands

    def _take_command(self, line: bytes) -> None:
        verb = line[:4].upper().decode("ascii", "replace")
        match verb:
            case "EHLO":
                self._reply(self._offer())
            case "MAIL":
                self._reply(self._mail(_address(line)))
            case "RCPT":
                self._reply(self._rcpt(_address(line)))
            case "DATA":
                answer = self._data()
                self._content_wanted = answer.startswith("354")
                self._reply(answer)
            case "RSET":
                self._forget()
                self._reply(_OK)
            case "QUIT":
                self._reply("221 2.0.0 bye")
                self._flush()
                self._end()
            case _:
                self._reply("500 5.5.2 Error: command not recognized")

    def _offer(self) -> str:
        lines = ["model.test", "8BITMIME"]
        lines += ["PIPELINING"] if self._habits.pipelining else []
        lines += ["CHUNKING"] if self._habits.chunking else []
        first = "".join(f"250-{one}\r\n" for one in lines[:-1])
        return f"{first}250 {lines[-1]}"

    def _mail(self, sender: str) -> str:
        if self._model.login_demanded("MAIL"):
            return _DEMANDED
        self._mails += 1
        if self._habits.credit is not None and self._mails > self._habits.credit:
            return "452 4.5.3 Too many messages sent"
        if self._sender is not None:
            return _NESTED
        refused = self._model.verdict(sender)
        if refused is None:
            self._sender, self._recipients = sender, []
        return refused or _OK

    def _rcpt(self, recipient: str) -> str:
        if self._sender is None:
            return _NEED_MAIL
        if self._model.login_demanded("RCPT"):
            return _DEMANDED
        limit = self._habits.recipients
        if limit is not None and len(self._recipients) >= limit:
            return self._habits.too_many
        refused = self._model.verdict(recipient)
        if refused is None:
            self._recipients.append(recipient)
        return refused or _OK

    def _data(self) -> str:
        if self._sender is None:
            return _NEED_MAIL
        if not (self._recipients or self._habits.goes_ahead_for_nobody):
            return _NEED_RCPT
        if self._model.login_demanded("DATA"):
            return _DEMANDED
        return "354 go on"

    def _take_chunk(self, content: bytes) -> None:
        if self._sender is None or not self._recipients:
            self._reply(_NEED_RCPT)
        else:
            self._judge_in_time(content)

    # -------------------------------------------------------------------- its verdicts

    def _judge_in_time(self, content: bytes) -> None:
        self._busy = True
        self._loop.call_later(self._habits.verdict_seconds, self._judge, content)

    def _judge(self, content: bytes) -> None:
        self._busy = False
        if self._gone:
            return
        riders = self._habits.riders
        if self._unread and riders is not Riders.FINE:
            self._model.riders_met += 1
            lines, self._unread = self._unread.count(b"\r\n"), b""
            if riders is Riders.FATAL:
                self._end()
                return
            self._verdict(content)
            if riders is Riders.REFUSED:
                for _ in range(lines):
                    self._reply("503 5.5.1 pipelined after end of DATA")
        else:
            self._verdict(content)
        self._work_on()

    def _verdict(self, content: bytes) -> None:
        found = _SUBJECT.search(content)
        name = found[1].decode() if found else "?"
        refused = "554 5.5.1 Error: no valid recipients"
        if self._recipients:
            demanded = self._model.login_demanded("dot")
            refused = _DEMANDED if demanded else self._model.verdict(name) or ""
        if refused:
            if not self._habits.keeps_recipients:
                self._recipients = []
            if not self._habits.keeps_sender:
                self._forget()
            self._reply(refused)
            return
        mail = Kept(name, self._sender or "", tuple(self._recipients))
        self._forget()
        if self._model.keep(mail):
            self._reply(_OK)
        else:
            self._end()

    def _forget(self) -> None:
        self._sender, self._recipients = None, []


def _is_chunk(line: bytes) -> bool:
    return line[:4].upper() == b"BDAT"


def _size(line: bytes) -> int:
    return int(line.split()[1])


def _address(line: bytes) -> str:
    found = _ADDRESS.search(line)
    return found[1].decode() if found else ""


class _Served(asyncio.Protocol):
    def __init__(self, model: Model, greeting: bytes) -> None:
        self._model = model
        self._greeting = greeting
        self._session: Session | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        if self._model.full:
            transport.write(b"421 4.7.0 too many connections\r\n")
            transport.close()
            return
        self._session = Session(self._model, transport.write, transport.close)
        transport.write(self._greeting)

    def data_received(self, data: bytes) -> None:
        if self._session is not None:
            self._session.receive(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self._session is not None:
            self._session.gone()


class ModelSmtp:
    """The model behind a socket on loopback, in a thread; a context manager."""

    host = "127.0.0.1"

    def __init__(self, model: Model, greeting: str = "model.test ESMTP") -> None:
        self.model = model
        self._greeting = f"220 {greeting}\r\n".encode()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._ending: asyncio.Event
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(WAIT_SECONDS)
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(WAIT_SECONDS)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._ending = asyncio.Event()
        server = await self._loop.create_server(
            lambda: _Served(self.model, self._greeting), self.host, free_port()
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        async with server:
            await self._ending.wait()
