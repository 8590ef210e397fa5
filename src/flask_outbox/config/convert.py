"""Converters: a raw setting → the checked value, or a `ConfigError` that names it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from ..errors import ConfigError

Convert = Callable[[str, Any], Any]


def wrong(name: str, value: Any, wanted: str) -> ConfigError:
    """The error for ``value``, which is not ``wanted``."""
    return ConfigError(f"{name} is {value!r}: it must be {wanted}.")


def as_text(name: str, value: Any) -> str:
    """A non-empty string."""
    if not isinstance(value, str) or not value:
        raise wrong(name, value, "a non-empty string")
    return value


def as_secret(name: str, value: Any) -> str:
    """A non-empty string; what else is given may be a secret too, and is not shown."""
    if not isinstance(value, str) or not value:
        given = "empty" if value == "" else f"of type {type(value).__name__}"
        raise ConfigError(f"{name} is {given}: it must be a non-empty string.")
    return value


def as_path(name: str, value: Any) -> str:
    """The path of a file that exists."""
    if not isinstance(value, str | os.PathLike):
        raise wrong(name, value, "a path")
    path = os.fspath(value)
    if not Path(path).is_file():
        raise ConfigError(f"{name} names {path!r}, and there is no such file.")
    return str(path)


_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}


def as_flag(name: str, value: Any) -> bool:
    """True and False, and the words for them that environment variables hold."""
    if isinstance(value, bool | int):
        return bool(value)
    word = value.strip().lower() if isinstance(value, str) else None
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise wrong(name, value, "True or False")


def as_whole(least: int, most: int) -> Convert:
    """Whole numbers from ``least`` to ``most``."""

    def convert(name: str, value: Any) -> int:
        wanted = f"a whole number from {least} to {most}"
        try:
            number = int(value)
        except (TypeError, ValueError):
            raise wrong(name, value, wanted) from None
        if isinstance(value, float) or not least <= number <= most:
            raise wrong(name, value, wanted)
        return number

    return convert


def as_seconds(name: str, value: Any) -> float:
    """Seconds above 0, from a number or a timedelta."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise wrong(name, value, "a number of seconds above 0, or a timedelta")
    return seconds


def as_callable(name: str, value: Any) -> Callable[..., Any]:
    """A function, or anything else that can be called."""
    if not callable(value):
        raise ConfigError(
            f"{name} is of type {type(value).__name__}: it must be a function."
        )
    return cast(Callable[..., Any], value)


def as_choice(*words: str) -> Convert:
    """One of ``words``."""

    def convert(name: str, value: Any) -> str:
        if value not in words:
            raise wrong(name, value, " or ".join(repr(word) for word in words))
        return str(value)

    return convert


def as_sender(name: str, value: Any) -> str | tuple[str, str]:
    """An address, or a pair of a name and an address."""
    if isinstance(value, list | tuple) and len(value) == 2:
        return (str(value[0]), str(value[1]))
    if isinstance(value, str) and value:
        return value
    raise wrong(name, value, "an address, or a pair of a name and an address")
