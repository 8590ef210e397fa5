"""The mail server of the benchmarks: takes mail in a process of its own, keeps none.

It says no more than it must, so that it is not the server that is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from contextlib import suppress
from typing import ClassVar, cast

from _aside import Aside
from _loop import loop_factory

HOST = "127.0.0.1"


class Sink(Aside):
    """A mail server on a free port, for as long as the ``with`` block runs.

    With ``hanging`` it accepts connections and never says a word. With ``chunking`` it
    offers CHUNKING beside PIPELINING.
    """

    def __init__(self, *, hanging: bool = False, chunking: bool = False) -> None:
        options = ["--hang"] if hanging else []
        options += ["--chunking"] if chunking else []
        super().__init__(__file__, *options)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> int:
        """End the server; returns how many mails it accepted. Only the first call
        does.
        """
        return len(self.taken_at())

    def taken_at(self) -> list[float]:
        """End the server; when it took each mail, by the machine's monotonic clock.

        Only the first call tells.
        """
        return [float(moment) for moment in (self.end() or "").split()]


class Conversation(asyncio.Protocol):
    """One connection: every command succeeds, every mail is accepted."""

    taken_at: ClassVar[list[float]] = []
    chunking = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._received = b""
        self._at = 0
        self._in_content = False
        transport.write(b"220 sink ESMTP Postfix\r\n")  # known to cope with riders

    def data_received(self, octets: bytes) -> None:
        self._received = self._received[self._at :] + octets
        self._at = 0
        replies = []
        while reply := self._next_reply():
            replies.append(reply)
        if replies:
            self._transport.write(b"".join(replies))

    def _next_reply(self) -> bytes:
        """Reply to one command, or to the content once it is complete."""
        end = b"\r\n.\r\n" if self._in_content else b"\r\n"
        found = self._received.find(end, self._at)
        if found < 0:
            return b""
        begin, self._at = self._at, found + len(end)
        if self._in_content:
            self._in_content = False
            return self._take()
        verb = self._received[begin : begin + 4].upper()
        if verb == b"BDAT":
            size = int(self._received[begin:found].split()[1])
            if len(self._received) < self._at + size:
                self._at = begin
                return b""
            self._at += size
            return self._take()
        return self._reply(verb)

    def _take(self) -> bytes:
        self.taken_at.append(time.monotonic())
        return b"250 taken\r\n"

    def _reply(self, verb: bytes) -> bytes:
        if verb == b"EHLO":
            chunking = b"250-CHUNKING\r\n" if self.chunking else b""
            return b"250-sink\r\n250-PIPELINING\r\n" + chunking + b"250 8BITMIME\r\n"
        if verb == b"DATA":
            self._in_content = True
            return b"354 go on\r\n"
        return b"221 bye\r\n" if verb == b"QUIT" else b"250 well\r\n"


async def serve(*, hanging: bool) -> None:
    """Print the port, take mail until standard input ends, print when each came.

    The end of the input is also the end of a benchmark that was killed.
    """
    loop = asyncio.get_running_loop()
    conversation = asyncio.Protocol if hanging else Conversation
    server = await loop.create_server(conversation, HOST, 0, backlog=1_000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    with suppress(BrokenPipeError):
        print(*Conversation.taken_at, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hang", action="store_true", help="never say a word")
    parser.add_argument("--chunking", action="store_true", help="offer CHUNKING")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    chosen = parser.parse_args()
    Conversation.chunking = chosen.chunking
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(hanging=chosen.hang))
