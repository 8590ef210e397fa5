"""The mail server of the benchmarks: takes mail in a process of its own, keeps none.

It says no more than it must, so that it is not the server that is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

HOST = "127.0.0.1"
END_SECONDS = 10.0
"""How long a server may take to end."""


class Sink:
    """A mail server on a free port, for as long as the ``with`` block runs.

    With ``hanging`` it accepts connections and never says a word.
    """

    def __init__(self, *, hanging: bool = False) -> None:
        self._options = ["--hang"] if hanging else []

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), *self._options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> int:
        """End the server; how many mails it has taken. Only the first call tells."""
        if self._process.stdout is None or self._process.stdout.closed:
            return 0
        told, _ = self._process.communicate(timeout=END_SECONDS)
        return int(told)


class Conversation(asyncio.Protocol):
    """One connection: every command is well, every mail is taken."""

    taken = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""
        self._in_content = False
        transport.write(b"220 sink\r\n")

    def data_received(self, octets: bytes) -> None:
        self._received += octets
        while self._take_one():
            pass

    def _take_one(self) -> bool:
        """Answer one command, or the content, if it is there whole."""
        end = b"\r\n.\r\n" if self._in_content else b"\r\n"
        said, found, rest = self._received.partition(end)
        if found:
            self._received = rest
            self._transport.write(self._reply(said))
        return bool(found)

    def _reply(self, said: bytes) -> bytes:
        if self._in_content:
            self._in_content = False
            Conversation.taken += 1
            return b"250 taken\r\n"
        verb = said[:4].upper()
        if verb == b"EHLO":
            return b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
        if verb == b"DATA":
            self._in_content = True
            return b"354 go on\r\n"
        return b"221 bye\r\n" if verb == b"QUIT" else b"250 well\r\n"


async def serve(*, hanging: bool) -> None:
    """Print the port, take mail until standard input ends, print how many came.

    The end of the input is also the end of a benchmark that was killed.
    """
    loop = asyncio.get_running_loop()
    conversation = asyncio.Protocol if hanging else Conversation
    server = await loop.create_server(conversation, HOST, 0, backlog=1_000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    with suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), b"%d\n" % Conversation.taken)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hang", action="store_true", help="never say a word")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(serve(hanging=parser.parse_args().hang))
