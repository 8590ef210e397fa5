"""Parses SMTP replies from a stream of bytes, strictly and with size limits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from ...delivery import Reply

MAX_LINE_BYTES = 8 * 1024
"""Longest line we read. RFC 5321 section 4.5.3.1.5 allows 512; some send far more."""

MAX_REPLY_BYTES = 64 * 1024
"""Longest reply we read, so that endless continuation lines cannot fill memory."""

MAX_REPLY_LINES = 512
"""Most lines of one reply: no real one has nearly as many."""

KEPT_CHARACTERS = 2_000
"""How much of a reply's text is kept: it is stored for each recipient."""

COMMON_REPLIES, COMMON_BYTES = 256, 80
"""How many short replies are cached, and their greatest length: most are repeated."""

SHOWN_BYTES = 80
"""How much of a malformed line is quoted in the error."""

# RFC 5321 section 4.2, but with any second digit: real servers send "571" and the
# like, and the first digit decides.
_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)


class MalformedReply(Exception):
    """The server sent something that is no valid reply; the text quotes it."""


class ReplyParser:
    """Turns bytes into replies, however the bytes are split.

    Guarantees: only `MalformedReply` is ever raised; at most `MAX_REPLY_BYTES` are
    buffered; the same bytes give the same replies and the same error, however they are
    split. After an error neither the parser nor the connection can be used.
    """

    def __init__(self) -> None:
        self._unread = b""
        self._code = b""
        self._texts: list[str] = []
        self._size_bytes = 0

    @property
    def midway(self) -> bool:
        """Whether the server has begun a reply but not finished it."""
        return bool(self._unread or self._texts)

    def feed(self, data: bytes) -> Iterator[Reply]:
        """Yield each reply that ``data`` completes.

        Raises `MalformedReply` at bytes that RFC 5321 section 4.2 does not allow, after
        yielding the valid replies before them.
        """
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            if self._texts or len(line) > COMMON_BYTES:
                reply = self._take(line)
            else:
                reply = _common_reply(line) or self._take(line)
            if reply is not None:
                yield reply
        if self._unread:
            self._check_room(len(self._unread))

    def _check_room(self, line_bytes: int) -> None:
        if line_bytes > min(MAX_LINE_BYTES, MAX_REPLY_BYTES - self._size_bytes):
            raise MalformedReply("a reply without end")

    def _take(self, line: bytes) -> Reply | None:
        """Add one line to the current reply; return the reply if that is complete."""
        self._check_room(len(line) + 1)
        line = line.removesuffix(b"\r")
        found = _LINE.fullmatch(line)
        if not found:
            raise MalformedReply(f"not a reply: {_quoted(line)}")
        code, separator, text = found.groups()
        if self._texts and code != self._code:
            raise MalformedReply(f"two codes in one reply: {_quoted(line)}")
        if len(self._texts) == MAX_REPLY_LINES:
            raise MalformedReply("a reply without end")
        self._code = code
        self._texts.append(presentable(text or b""))
        self._size_bytes += len(line)
        return None if separator == b"-" else self._finish()

    def _finish(self) -> Reply:
        reply = compose(int(self._code), self._texts)
        self._texts, self._size_bytes = [], 0
        return reply


@lru_cache(maxsize=COMMON_REPLIES)
def _common_reply(line: bytes) -> Reply | None:
    """The one-line reply in this line; None if it is malformed or has more lines."""
    found = _LINE.fullmatch(line.removesuffix(b"\r"))
    if not found or found[2] == b"-":
        return None
    return compose(int(found[1]), [presentable(found[3] or b"")])


def compose(code: int, texts: list[str]) -> Reply:
    """One reply from these lines, with their texts joined by spaces.

    An enhanced status code (RFC 2034) that each line repeats is kept once.
    """
    first = Reply.parse(code, texts[0])
    if first.enhanced:
        texts = [text.removeprefix(first.enhanced).lstrip() for text in texts]
    text = " ".join(text for text in texts if text)
    if len(text) > KEPT_CHARACTERS:
        text = text[:KEPT_CHARACTERS] + "…"
    return Reply(code, first.enhanced, text)


def presentable(text: bytes) -> str:
    """A server's text, made safe to store and to print.

    Undecodable bytes and unprintable characters (controls, escape sequences, changes of
    direction) are escaped.
    """
    said = text.decode("utf-8", "backslashreplace").replace("\t", " ").strip()
    if said.isprintable():
        return said
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii")
        for one in said
    )


def _quoted(line: bytes) -> str:
    shown = presentable(line[:SHOWN_BYTES])
    return f'"{shown}…"' if len(line) > SHOWN_BYTES else f'"{shown}"'
