"""A strict reader of composed content, written apart from the code that it judges.

It knows RFC 5321 and RFC 5322 and nothing of Flask-Outbox or of the standard library's
lenient parser: whatever it lets pass is fit to be sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST_LINE = 998

_FIELD = re.compile(rb"([!-9;-~]+):( .*)?", re.DOTALL)
_MULTIPART = re.compile(r'multipart/[a-z]+;.*boundary="([^"]+)"')
_ONCE = {b"from", b"date", b"message-id", b"mime-version"}
_AT_MOST_ONCE = {b"to", b"cc", b"reply-to", b"subject", b"sender", b"content-type"}


@dataclass
class Entity:
    """A message or one part of it: unfolded headers, and the parts or the body."""

    headers: list[tuple[str, str]]
    body: bytes
    parts: list[Entity]

    def __getitem__(self, name: str) -> str:
        [value] = [value for key, value in self.headers if key.lower() == name.lower()]
        return value

    def __contains__(self, name: str) -> bool:
        return any(key.lower() == name.lower() for key, _ in self.headers)


def read_strictly(content: bytes, *, utf8_headers: bool = False) -> Entity:
    """The message on the wire, or an AssertionError with what no server should see."""
    assert content.endswith(b"\r\n"), "does not end in CRLF"
    bare = content.replace(b"\r\n", b"")
    assert b"\r" not in bare, "has a bare CR"
    assert b"\n" not in bare, "has a bare LF"
    assert b"\0" not in content, "has a NUL"
    assert all(len(line) <= LONGEST_LINE for line in content.split(b"\r\n"))
    head, separator, body = content.partition(b"\r\n\r\n")
    assert separator, "has no end to its headers"
    assert body.isascii(), "has 8-bit octets in its body"
    assert head.isascii() or utf8_headers, "has 8-bit octets in its headers"
    entity = _read_entity(content)
    names = [name.lower().encode() for name, _ in entity.headers]
    for name in _ONCE:
        assert names.count(name) == 1, f"has {names.count(name)} of {name!r}"
    for name in _AT_MOST_ONCE:
        assert names.count(name) <= 1, f"has {names.count(name)} of {name!r}"
    assert not [name for name in names if name.endswith(b"bcc")], "has a Bcc"
    return entity


def _read_entity(content: bytes) -> Entity:
    head, _, body = content.partition(b"\r\n\r\n")
    headers: list[tuple[str, str]] = []
    for line in head.split(b"\r\n"):
        if line.startswith((b" ", b"\t")):
            assert headers, "begins with a continuation line"
            assert line.strip(), "has a continuation line of white space only"
            name, value = headers.pop()
            headers.append((name, value + line.decode()))
        else:
            field = _FIELD.fullmatch(line)
            assert field, f"has a header line {line!r}"
            headers.append((field[1].decode(), (field[2] or b"").decode()))
    entity = Entity([(name, value.strip(" ")) for name, value in headers], body, [])
    kind = next((v for n, v in entity.headers if n.lower() == "content-type"), "")
    if multipart := _MULTIPART.match(kind):
        entity.parts = _read_parts(body, multipart[1])
    return entity


def _read_parts(body: bytes, boundary: str) -> list[Entity]:
    delimiter = b"\r\n--" + boundary.encode()
    prologue, *parts, epilogue = (b"\r\n" + body).split(delimiter)
    assert prologue in {b"", b"\r\n"}
    assert epilogue == b"--\r\n" or epilogue.startswith(b"--\r\n")
    assert parts, "has a multipart without a part"
    assert all(part.startswith(b"\r\n") for part in parts)
    return [_read_entity(part.removeprefix(b"\r\n")) for part in parts]
