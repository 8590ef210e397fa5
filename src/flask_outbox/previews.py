"""Previews: registered functions that build a message, to view it without sending
it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message as StandardMessage
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any, TypeVar

from .errors import ConfigError
from .message import Message
from .message.text import shown

Function = Callable[..., Message | StandardMessage]
"""A function that builds a message."""

Builder = TypeVar("Builder", bound=Function)

_PLAIN: tuple[type, ...] = (str, int, float, bool)
_NO = {"", "0", "false", "no", "off"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a preview, which can be set on its page."""

    name: str
    kind: type
    default: Any

    @property
    def hint(self) -> str:
        """Its value if nothing is set, or "needed"."""
        needed = self.default is inspect.Parameter.empty
        return "needed" if needed else str(self.default)

    def read(self, text: str) -> Any:
        """The value that ``text`` stands for. Raises `ValueError`."""
        if self.kind is bool:
            return text.lower() not in _NO
        return self.kind(text)


class Preview:
    """One function that builds a message."""

    def __init__(self, name: str, function: Function) -> None:
        self.name = name
        self.function = function

    @property
    def about(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def place(self) -> str:
        """The place of the function: ``shop/mails.py:12``."""
        code = inspect.unwrap(self.function).__code__
        return f"{_relative_path(code.co_filename)}:{code.co_firstlineno}"

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The function's parameters whose values can be written as text."""
        return tuple(
            Parameter(one.name, _kind(one), one.default)
            for one in inspect.signature(self.function).parameters.values()
            if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        )

    def build(self, chosen: Mapping[str, str]) -> Message | StandardMessage:
        """The message, built with the ``chosen`` values of the parameters."""
        return self.function(
            **{
                one.name: one.read(chosen[one.name])
                for one in self.parameters
                if chosen.get(one.name)
            }
        )


class Previews:
    """The previews of one `Mail`, by name."""

    def __init__(self) -> None:
        self._named: dict[str, Preview] = {}
        self._included: list[Previews] = []

    def register(self, name: str | None) -> Callable[[Builder], Builder]:
        """A decorator that adds a function under ``name``, by default the function's
        own.
        """

        def add(function: Builder) -> Builder:
            if not isinstance(inspect.unwrap(function), FunctionType | MethodType):
                raise ConfigError(
                    f"{shown(function)} is not a function: decorate one that builds "
                    "a Message with @mail.preview."
                )
            self._add(function, function.__name__ if name is None else name)
            return function

        return add

    def _add(self, function: Function, name: str) -> None:
        """Add ``function``; after a reload of its module, it replaces the old one."""
        if not name or "/" in name or not name.isprintable() or name != name.strip():
            raise ConfigError(
                f"A preview cannot be called {name!r}: leave out slashes, control "
                "characters and spaces at either end."
            )
        present = self._named.get(name)
        if present is not None and _origin(present.function) != _origin(function):
            raise ConfigError(
                f"There is a preview {name!r} already ({present.place}): give this one "
                "another name, @mail.preview('…')."
            )
        self._named[name] = Preview(name, function)

    @property
    def none(self) -> bool:
        """Whether nothing is registered."""
        return not self._all()

    def include(self, others: Previews) -> None:
        """Include the previews of ``others``, now and later."""
        if others is not self and others not in self._included:
            self._included.append(others)

    def _all(self) -> dict[str, Preview]:
        included = [one._named for one in reversed(self._included)]
        return {**{n: p for one in included for n, p in one.items()}, **self._named}

    def __iter__(self) -> Iterator[Preview]:
        return iter(sorted(self._all().values(), key=lambda one: one.name.lower()))

    def get(self, name: str) -> Preview | None:
        """The preview of that name."""
        return self._all().get(name)


def _kind(parameter: inspect.Parameter) -> type:
    """The type that a parameter takes: as annotated, or that of its default."""
    for kind in _PLAIN:
        if parameter.annotation in (kind, kind.__name__):
            return kind
    kind = type(parameter.default)
    return kind if kind in _PLAIN else str


def _origin(function: Function) -> tuple[str, str]:
    return function.__module__, function.__qualname__


def _relative_path(path: str) -> str:
    """A path, relative to the current folder if it is inside it."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path
