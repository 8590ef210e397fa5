"""Converters: a raw setting → the checked value, or a `ConfigError` that names it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

from ..characters import shown
from ..errors import ConfigError
from ..patience import ANY_OTHER, Patience
from ..rate import Limit, parse_limits

Convert = Callable[[str, Any], Any]


def is_unset(value: Any) -> bool:
    """Whether a setting says nothing: None, or the empty string that an environment
    has for a variable without a value.
    """
    return value is None or (isinstance(value, str) and not value.strip())


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


def as_host(name: str, value: Any) -> str:
    """A host's name or address, and nothing else that says where a server is."""
    host = as_text(name, value).strip()
    if _is_address(host.removeprefix("[").removesuffix("]")):
        return host.removeprefix("[").removesuffix("]")
    if "://" in host or "@" in host or "/" in host:
        raise wrong(name, value, "a host's name; a URL goes into MAIL_URL")
    if ":" in host:
        only, _, port = host.partition(":")
        raise wrong(name, value, f"{only!r}, and the port in MAIL_PORT = {port!r}")
    if any(one.isspace() for one in host):
        raise wrong(name, value, "one host's name, without spaces")
    return host


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def as_path(name: str, value: Any) -> str:
    """The path of a file that exists."""
    if not isinstance(value, str | os.PathLike):
        raise wrong(name, value, "a path")
    path = os.fspath(value)
    try:
        found = Path(path).is_file()
    except (OSError, ValueError):
        found = False
    if not found:
        raise ConfigError(f"{name} names {shown(path)}, and there is no such file.")
    return str(path)


_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


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


def as_port(name: str, value: Any) -> int:
    """A port. What is none is not shown: it may be the password beside it."""
    try:
        return cast(int, as_whole(1, 65_535)(name, value))
    except ConfigError:
        raise ConfigError(
            f"{name} is no port: it must be a whole number from 1 to 65535."
        ) from None


NO_LIMIT = sys.maxsize
"""As good as none."""


def as_count_or_no_limit(name: str, value: Any) -> int:
    """A whole number; 0 is none, as in Flask-Mail."""
    return cast(int, as_whole(0, 1_000_000)(name, value)) or NO_LIMIT


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


def as_patience(otherwise: Patience) -> Convert:
    """Seconds, or seconds by tag; ``otherwise`` holds where a mapping says no other."""

    def convert(name: str, value: Any) -> Patience:
        if isinstance(value, Patience):
            return value
        if not isinstance(value, Mapping):
            return Patience(as_seconds(name, value))
        by_tag = {
            _tag(name, tag): as_seconds(f"{name}[{tag!r}]", one)
            for tag, one in value.items()
        }
        return Patience(by_tag.pop(ANY_OTHER, otherwise.seconds), by_tag)

    return convert


def as_tag_counts(name: str, value: Any) -> dict[str, int]:
    """Tags, each with a whole number from 1 up."""
    if not isinstance(value, Mapping) or ANY_OTHER in value:
        raise wrong(name, value, 'a dict of tags and numbers, as in {"newsletter": 2}')
    count = as_whole(1, 1_000)
    return {
        _tag(name, tag): count(f"{name}[{tag!r}]", one) for tag, one in value.items()
    }


def _tag(name: str, tag: Any) -> str:
    if not isinstance(tag, str):
        raise ConfigError(f"{name} has the key {tag!r}: it must be a tag, as a string.")
    return tag


def as_callable(name: str, value: Any) -> Callable[..., Any]:
    """A function, or anything else that can be called."""
    if not callable(value):
        raise ConfigError(
            f"{name} is of type {type(value).__name__}: it must be a function."
        )
    return cast(Callable[..., Any], value)


LOCAL = "local"
"""Whoever looks from this very machine."""


def as_onlookers(name: str, value: Any) -> Any:
    """``"local"``, or a function that answers whether whoever asks may look."""
    if value == LOCAL or callable(value):
        return value
    raise wrong(
        name,
        value,
        '"local", for this machine only, or a function without arguments that answers '
        "True where whoever sent the request may see and change everything",
    )


_PATH = re.compile(r"(/[A-Za-z0-9_.~-]+)+")


def as_url_path(name: str, value: Any) -> str:
    """A path below the app's root."""
    if isinstance(value, str) and _PATH.fullmatch(value):
        return value
    raise wrong(
        name,
        value,
        'a path such as "/outbox": it begins with a slash, does not end with one, and '
        "has only letters, digits and . _ ~ - besides",
    )


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


def as_list(name: str, value: Any) -> tuple[str, ...]:
    """Some strings, from a list or from a string with commas between them."""
    some = value.split(",") if isinstance(value, str) else value
    if isinstance(some, list | tuple | set | frozenset):
        found = tuple(one.strip() if isinstance(one, str) else "" for one in some)
        if found and all(found):
            return found
    raise wrong(name, value, "a list of strings, or a string with commas, not empty")


def as_rate(name: str, value: Any) -> tuple[Limit, ...]:
    """Limits, from ``"10/s, 5000/h"``."""
    try:
        return parse_limits(value)
    except (AttributeError, ValueError):
        wanted = 'numbers per s, min, h or d, as in "10/s, 5000/h"'
        raise wrong(name, value, wanted) from None


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def as_transports(name: str, value: Any) -> dict[str, Any]:
    """Names, each with a URL or a mapping; what else is given may be a secret."""
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"{name} is of type {type(value).__name__}: it must be a dict of names."
        )
    for number, (key, given) in enumerate(value.items(), 1):
        if not isinstance(key, str) or not _NAME.fullmatch(key):
            raise ConfigError(
                f"{name} has an impossible name, its number {number}: it must be one "
                "of 1 to 64 letters, digits and . _ -, and what it leads to a URL or a "
                "dict of MAIL_* keys."
            )
        if not given or not isinstance(given, str | Mapping):
            raise ConfigError(
                f"{name}[{key!r}] is of type {type(given).__name__}: it must be a URL, "
                "or a dict of MAIL_* keys, and not empty."
            )
    return dict(value)


def as_failover(name: str, value: Any) -> dict[str, tuple[str, ...]]:
    """Names, each with the names of those that stand in, in their order."""
    wanted = 'a dict of names and lists of names, as in {"default": ["backup"]}'
    if not isinstance(value, Mapping):
        raise wrong(name, value, wanted)
    for key, others in value.items():
        if not isinstance(others, list | tuple) or not others:
            raise wrong(name, value, wanted)
        if not all(isinstance(one, str) for one in (key, *others)):
            raise wrong(name, value, wanted)
    return {key: tuple(others) for key, others in value.items()}


def as_route(name: str, value: Any) -> Any:
    """A callable, or a mapping of tags and names."""
    if callable(value):
        return value
    if isinstance(value, Mapping) and all(
        isinstance(one, str) for pair in value.items() for one in pair
    ):
        return dict(value)
    raise wrong(name, value, "a dict of tags and transports' names, or a callable")
