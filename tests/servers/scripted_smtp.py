"""A server that plays a script, byte for byte, and records what it received.

A script is a list of steps, one list for each connection that is expected::

    script = [
        Step("", b"220 hello\\r\\n"),                # at once: the greeting
        Step("EHLO", b"250-hello\\r\\n250 SIZE 1000\\r\\n"),
        Step("MAIL", b"250 ok\\r\\n"),
        Step("RCPT", b"250 ok\\r\\n"),
        Step("DATA", b"354 go on\\r\\n"),
        Step(CONTENT, b"250 kept\\r\\n"),            # once the final dot has come
        Step("QUIT", b"221 bye\\r\\n", CLOSE),
    ]
    with ScriptedSmtp(script) as server:
        ...connect to server.host, server.port...
    assert server.commands(0) == ["EHLO me", "MAIL FROM:<a@b>", ...]

A step waits for a line that begins with its expectation and then does its actions, in
order: send bytes, `Drip` them, `Pause`, `CLOSE`, `RESET`, `STALL`, `StartTls`. What is
sent is exactly what the script says, be it no SMTP at all. A line that the script does
not expect ends the connection and fails the ``with`` block, so that no test passes by
accident. A connection beyond the scripts is closed at once (and counted).
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Self

from tests.servers.ports import listening
from tests.waiting import WAIT_SECONDS

LOOK_MILLISECONDS = 10
"""How often a stalling connection looks whether the server ends."""

CONTENT = "\0content"
"""The expectation of a message's content, up to and with the final dot."""

CHUNK = "\0chunk"
"""The expectation of ``BDAT … LAST`` and of as many bytes as it announces."""

ANYTHING = "\0anything"
"""The expectation of one more byte, whatever it is: the content has begun."""


class _Action(Enum):
    CLOSE = "close the connection"
    RESET = "close the connection with a reset"
    STALL = "read nothing, say nothing, until the client goes or the server ends"


CLOSE, RESET, STALL = _Action


@dataclass(frozen=True)
class Drip:
    """Send these bytes one at a time, with a pause after each."""

    data: bytes
    pause_seconds: float = 0.02


@dataclass(frozen=True)
class Pause:
    """Neither read nor send for this long."""

    seconds: float


@dataclass(frozen=True)
class StartTls:
    """Do the TLS handshake now, as the server."""

    context: ssl.SSLContext


Action = bytes | Drip | Pause | StartTls | _Action


@dataclass(frozen=True, init=False)
class Step:
    """Wait for a line that begins with ``expected`` ("" waits not), then act."""

    expected: str
    actions: tuple[Action, ...]

    def __init__(self, expected: str, *actions: Action) -> None:
        object.__setattr__(self, "expected", expected)
        object.__setattr__(self, "actions", actions)


class _ClientGone(Exception):
    """The client ended the connection: what the script had left is not played."""


class ScriptedSmtp:
    """The server; a context manager. Each connection plays the next script.

    ``received`` has, for each connection, every line and every content that came, as
    bytes and in order; ``steps_played`` how many steps of its script were played.
    ``implicit_tls`` speaks TLS from the first byte.
    """

    host = "127.0.0.1"

    def __init__(
        self, *scripts: list[Step], implicit_tls: ssl.SSLContext | None = None
    ) -> None:
        self._scripts = scripts
        self._implicit_tls = implicit_tls
        self._changed = threading.Condition()
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self.received: list[list[bytes]] = []
        self.steps_played: list[int] = []
        self.ended: list[bool] = []
        self.failures: list[str] = []
        self._listener = listening()
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ending.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for link in self._sockets:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(WAIT_SECONDS)
        if kind is None and self.failures:
            raise AssertionError("; ".join(self.failures))

    # ------------------------------------------------------------------ from outside

    @property
    def connections_made(self) -> int:
        """How many connections have come, those beyond the scripts too."""
        return len(self.received)

    def commands(self, connection: int = 0) -> list[str]:
        """The lines received on that connection, decoded, without line ends."""
        return [
            line.decode("utf-8").rstrip("\r\n") for line in self.received[connection]
        ]

    def wait_for_step(self, step: int, connection: int = 0) -> None:
        """Return once that step of the script begins to act, or fail."""
        self.wait_until(
            lambda: (
                len(self.steps_played) > connection
                and self.steps_played[connection] > step
            )
        )

    def wait_for_end(self, connection: int = 0) -> None:
        """Return once that connection is over, or fail."""
        self.wait_until(lambda: len(self.ended) > connection and self.ended[connection])

    def wait_until(self, true: Callable[[], bool]) -> None:
        """Return once ``true()``, or fail after `WAIT_SECONDS`."""
        with self._changed:
            if not self._changed.wait_for(true, WAIT_SECONDS):
                raise AssertionError(f"it did not come to that: {self.received}")

    # ---------------------------------------------------------------- in its threads

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ending.is_set():
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            link.settimeout(WAIT_SECONDS)
            self._sockets.append(link)
            with self._changed:
                number = len(self.received)
                self.received.append([])
                self.steps_played.append(0)
                self.ended.append(False)
                self._changed.notify_all()
            self._start(self._play, link, number)

    def _play(self, link: socket.socket, number: int) -> None:
        script = self._scripts[number] if number < len(self._scripts) else []
        connection = _Connection(link, self._ending, self.received[number])
        try:
            if self._implicit_tls is not None:
                connection.start_tls(self._implicit_tls)
            for step in script:
                connection.await_line(step.expected)
                with self._changed:
                    self.steps_played[number] += 1
                    self._changed.notify_all()
                for action in step.actions:
                    connection.act(action)
        except (_ClientGone, OSError):
            pass
        except AssertionError as failure:
            self.failures.append(f"connection {number}: {failure}")
        finally:
            connection.close()
            with self._changed:
                self.ended[number] = True
                self._changed.notify_all()


class _Connection:
    """One client's connection, as a script needs it."""

    def __init__(
        self, link: socket.socket, ending: threading.Event, received: list[bytes]
    ) -> None:
        self._link = link
        self._ending = ending
        self._received = received
        self._unread = bytearray()

    def close(self) -> None:
        self._link.close()

    def start_tls(self, context: ssl.SSLContext) -> None:
        self._link = context.wrap_socket(self._link, server_side=True)

    def await_line(self, expected: str) -> None:
        if expected == ANYTHING:
            self._received.append(bytes(self._unread or self._receive()))
            self._unread.clear()
        elif expected == CONTENT:
            self._received.append(self._read_content())
        elif expected == CHUNK:
            self._received.append(self._read_chunk())
        elif expected:
            line = self._read_through(b"\n")
            self._received.append(line)
            if not line.upper().startswith(expected.upper().encode()):
                raise AssertionError(f"{expected!r} was expected, {line!r} came")

    def act(self, action: Action) -> None:
        match action:
            case bytes():
                self._link.sendall(action)
            case Drip(data, pause_seconds):
                for byte in data:
                    self._link.sendall(bytes([byte]))
                    if self._ending.wait(pause_seconds):
                        raise _ClientGone
            case Pause(seconds):
                self._ending.wait(seconds)
            case StartTls(context):
                self.start_tls(context)
            case _Action.STALL:
                self._await_end()
            case _Action.RESET:
                linger = struct.pack("ii", 1, 0)
                self._link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                raise _ClientGone
            case _Action.CLOSE:
                raise _ClientGone

    def _await_end(self) -> None:
        """Wait until the client has disconnected, without reading from it."""
        watch = select.poll()
        watch.register(self._link, select.POLLRDHUP)
        while not self._ending.is_set() and not watch.poll(LOOK_MILLISECONDS):
            pass
        raise _ClientGone

    def _read_through(self, end: bytes) -> bytes:
        """What comes up to the first ``end``, and it."""
        searched = 0
        while (found := self._unread.find(end, max(0, searched - len(end)))) < 0:
            searched = len(self._unread)
            self._unread += self._receive()
        return self._take(found + len(end))

    def _read_content(self) -> bytes:
        """What comes up to the final dot, and it; the dot may be all."""
        while len(self._unread) < len(b".\r\n"):
            self._unread += self._receive()
        if self._unread.startswith(b".\r\n"):
            return self._take(len(b".\r\n"))
        return self._read_through(b"\r\n.\r\n")

    def _read_chunk(self) -> bytes:
        """``BDAT`` and what it announces; it must be the last chunk."""
        line = self._read_through(b"\n")
        verb, size, last = line.split()
        if (verb, last) != (b"BDAT", b"LAST"):
            raise AssertionError(f"BDAT … LAST was expected, {line!r} came")
        while len(self._unread) < int(size):
            self._unread += self._receive()
        return line + self._take(int(size))

    def _take(self, length: int) -> bytes:
        taken = bytes(self._unread[:length])
        del self._unread[:length]
        return taken

    def _receive(self) -> bytes:
        data = self._link.recv(65536)
        if not data:
            raise _ClientGone
        return data
