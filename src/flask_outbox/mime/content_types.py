"""Content types such as ``text/calendar; method=REQUEST`` (RFC 2045 section 5.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..characters import shown
from ..errors import MessageError
from .headers import one_line, parameterised

_WORD = r"[A-Za-z0-9!#$&+.^_`{|}~-]{1,60}"
_is_essence = re.compile(f"{_WORD}/{_WORD}").fullmatch
is_token = re.compile(_WORD).fullmatch
_next_parameter = re.compile(
    rf' *; *({_WORD})=(?:({_WORD})(?= *(?:;|$))|"((?:[^"\\]|\\.)*)")'
).match


@dataclass(frozen=True, slots=True)
class ContentType:
    """A type, its subtype and its parameters, each known to be well formed."""

    essence: str
    parameters: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, value: object, field: str, error: type[MessageError]) -> ContentType:
        """Read ``value``; raises ``error`` with ``field`` where it is none."""
        text = one_line(value, field, error).strip(" ")
        essence = text.partition(";")[0].rstrip(" ")
        if not _is_essence(essence):
            raise error(
                field, f"{shown(text)} is no content type; write one as 'text/csv'"
            )
        parameters: list[tuple[str, str]] = []
        position = len(essence)
        while found := _next_parameter(text, position):
            name, token, quoted = found.groups()
            if any(name.lower() == key.lower() for key, _ in parameters):
                raise error(field, f"{shown(text)} has {name!r} twice; leave one out")
            parameters.append((name, token or _unescaped(quoted)))
            position = found.end()
        if text[position:].strip(" ;"):
            raise error(
                field,
                f"{shown(text)} has a parameter that cannot be read; write it as"
                " 'name=value' or 'name=\"some value\"'",
            )
        return cls(essence.lower(), tuple(parameters))

    def get(self, name: str) -> str | None:
        """The value of one parameter; names know no case."""
        for key, value in self.parameters:
            if key.lower() == name:
                return value
        return None

    def having(self, name: str, value: str) -> ContentType:
        """The same type with this value for a parameter, whether it has one or not."""
        parameters = [
            (key, value if key.lower() == name else given)
            for key, given in self.parameters
        ]
        if self.get(name) is None:
            parameters.append((name, value))
        return ContentType(self.essence, tuple(parameters))

    def write(self) -> str:
        """The Content-Type header."""
        return parameterised("Content-Type", self.essence, self.parameters)


def _unescaped(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted)
