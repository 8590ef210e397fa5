"""A wire of some length: whatever goes over it takes half a round trip each way.

It runs in a process of its own, and does not limit how much goes over it at a time.
"""

from __future__ import annotations

import asyncio
import sys

from _aside import Aside

HOST = "127.0.0.1"


class Delay(Aside):
    """A port that forwards to another, ``round_trip_seconds`` away."""

    def __init__(self, port: int, round_trip_seconds: float) -> None:
        super().__init__(__file__, str(port), str(round_trip_seconds))


class End(asyncio.Protocol):
    """One end of a connection: what it receives, the other end sends later."""

    other: asyncio.Transport | None = None

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()

    def data_received(self, octets: bytes) -> None:
        self._loop.call_later(self._seconds, self._say, octets)

    def connection_lost(self, _error: Exception | None) -> None:
        self._loop.call_later(self._seconds, self._hang_up)

    def _say(self, octets: bytes) -> None:
        if self.other is not None and not self.other.is_closing():
            self.other.write(octets)

    def _hang_up(self) -> None:
        if self.other is not None:
            self.other.close()


class Entrance(End):
    """The end that a client connects to; the way to the server takes a round trip."""

    def __init__(self, port: int, round_trip_seconds: float) -> None:
        super().__init__(round_trip_seconds / 2)
        self._port = port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._opening = self._loop.create_task(self._open(transport))

    async def _open(self, client: asyncio.Transport) -> None:
        await asyncio.sleep(2 * self._seconds)
        exit_ = End(self._seconds)
        exit_.other = client
        self.other, _ = await self._loop.create_connection(
            lambda: exit_, HOST, self._port
        )


async def serve(port: int, round_trip_seconds: float) -> None:
    """Print the port, and forward until standard input closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Entrance(port, round_trip_seconds), HOST, 0, backlog=1_000
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
