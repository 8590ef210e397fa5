"""Reaches a host by whichever of its addresses answers first (RFC 8305).

asyncio's ``happy_eyeballs_delay`` does the same, but uvloop has no such thing.
"""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict, deque
from collections.abc import Iterable
from itertools import chain, zip_longest
from typing import Any, NamedTuple

NEXT_AFTER_SECONDS = 0.25
"""How long an address may take before the next is tried too (RFC 8305 section 5)."""


class Place(NamedTuple):
    """One address of a host, as ``getaddrinfo`` gives it."""

    family: int
    kind: int
    protocol: int
    name: str
    address: Any


async def reach(host: str, port: int) -> socket.socket:
    """Return a connected socket, which belongs to whoever calls.

    Each address is given all the time there is: the next is tried beside it when it has
    failed, or has not answered soon. Raises `OSError` if none can be reached; whoever
    calls sets the bound. Nothing else is left open.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    waiting = deque(_in_turns(Place(*one) for one in found))
    tries: list[asyncio.Task[socket.socket]] = []
    reached: socket.socket | None = None
    try:
        while reached is None and (waiting or _running(tries)):
            if waiting:
                tries.append(asyncio.create_task(_connect(waiting.popleft())))
            await asyncio.wait(
                _running(tries),
                timeout=NEXT_AFTER_SECONDS if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            reached = next(iter(_reached(tries)), None)
        if reached is None:
            raise _most_telling(tries)
        return reached
    finally:
        await _end(tries, reached)


def _in_turns(places: Iterable[Place]) -> list[Place]:
    """One of each family in turn, in the system's order (RFC 8305 section 4)."""
    families: dict[int, list[Place]] = defaultdict(list)
    for place in places:
        families[place.family].append(place)
    turns = chain.from_iterable(zip_longest(*families.values()))
    return [place for place in turns if place is not None]


async def _connect(place: Place) -> socket.socket:
    reached = socket.socket(place.family, place.kind, place.protocol)
    try:
        reached.setblocking(False)
        await asyncio.get_running_loop().sock_connect(reached, place.address)
    except BaseException:
        reached.close()
        raise
    return reached


def _running(
    tries: Iterable[asyncio.Task[socket.socket]],
) -> list[asyncio.Task[socket.socket]]:
    return [one for one in tries if not one.done()]


def _reached(tries: Iterable[asyncio.Task[socket.socket]]) -> list[socket.socket]:
    return [
        one.result()
        for one in tries
        if one.done() and not one.cancelled() and one.exception() is None
    ]


def _most_telling(tries: Iterable[asyncio.Task[socket.socket]]) -> BaseException:
    """A refusal says more than that there is no route: the host was there."""
    errors = [error for one in tries if (error := one.exception()) is not None]
    refusals = (one for one in errors if isinstance(one, ConnectionRefusedError))
    return next(refusals, errors[0])


async def _end(
    tries: Iterable[asyncio.Task[socket.socket]], reached: socket.socket | None
) -> None:
    for one in tries:
        one.cancel()
    await asyncio.gather(*tries, return_exceptions=True)
    for other in _reached(tries):
        if other is not reached:
            other.close()
