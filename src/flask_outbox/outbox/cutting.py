"""Cutting: large attachments out of a message's content, and back into it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256

LARGE_BYTES = 16 * 1024
"""From here on an attachment, as it is on the wire, is kept apart: below, a row of its
own costs about as much as it could save."""

_HEADER_ENDS, _PART_ENDS = b"\r\n\r\n", b"\r\n--"
_BASE64_LINE = re.compile(rb"[A-Za-z0-9+/]{76}\r\n")


@dataclass(frozen=True, slots=True)
class Piece:
    """What was cut out of a message's content, and where in the rest it belongs."""

    at_byte: int
    content: bytes

    @property
    def digest(self) -> str:
        """The name under which it is kept: its SHA-256."""
        return sha256(self.content).hexdigest()


def cut(content: bytes) -> tuple[bytes, list[Piece]]:
    """The content without the large pieces in it, and those."""
    rest: list[bytes] = []
    pieces: list[Piece] = []
    done = at_byte = 0
    for begin, end in _large(content):
        rest.append(content[done:begin])
        at_byte += begin - done
        pieces.append(Piece(at_byte, content[begin:end]))
        done = end
    return b"".join([*rest, content[done:]]) if pieces else content, pieces


def whole(rest: bytes, pieces: Iterable[Piece]) -> bytes:
    """The content of which `cut` made this, byte for byte."""
    found: list[bytes] = []
    done = 0
    for piece in pieces:
        found += rest[done : piece.at_byte], piece.content
        done = piece.at_byte
    return b"".join([*found, rest[done:]])


def _large(content: bytes) -> Iterator[tuple[int, int]]:
    """Where base64 text of `LARGE_BYTES` or more begins and ends, part by part."""
    end = 0
    while len(content) - end >= LARGE_BYTES:
        header_end = content.find(_HEADER_ENDS, end)
        if header_end < 0:
            return
        begin = header_end + len(_HEADER_ENDS)
        end = content.find(_PART_ENDS, begin)
        end = end if end >= 0 else len(content)
        if end - begin >= LARGE_BYTES and _BASE64_LINE.match(content, begin):
            yield begin, end
