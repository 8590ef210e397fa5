"""Converters from a raw setting to a valid value; errors name the setting."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl

from ..bounce_address import LONGEST_LOCAL
from ..errors import AddressError, ConfigError
from ..limits import ANY_OTHER, Limit, RetryWindow, parse_limits
from ..message import Address
from ..message.text import shown

Convert = Callable[[str, Any], Any]


def is_unset(value: Any) -> bool:
    """Whether a setting is unset: None, or the empty string of an environment variable
    without a value.
    """
    return value is None or (isinstance(value, str) and not value.strip())


def wrong(name: str, value: Any, wanted: str) -> ConfigError:
    """The error for ``value``, which is not what was ``wanted``."""
    return ConfigError(f"{name} is {value!r}: it must be {wanted}.")


def as_text(name: str, value: Any) -> str:
    """A non-empty string."""
    if not isinstance(value, str) or not value:
        raise wrong(name, value, "a non-empty string")
    return value


def as_secret(name: str, value: Any) -> str:
    """A non-empty string; an invalid value may be a secret too, and is not shown."""
    if not isinstance(value, str) or not value:
        given = "empty" if value == "" else f"of type {type(value).__name__}"
        raise ConfigError(f"{name} is {given}: it must be a non-empty string.")
    return value


def as_host(name: str, value: Any) -> str:
    """A host's name or address, without a port or anything else."""
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
        raise ConfigError(
            f"{name} names {shown(path)}, which does not exist or is not a file."
        )
    return str(path)


_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


def as_flag(name: str, value: Any) -> bool:
    """True, False, or a word for them in an environment variable."""
    if isinstance(value, bool | int):
        return bool(value)
    word = value.strip().lower() if isinstance(value, str) else None
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise wrong(name, value, "True or False")


def as_whole(least: int, most: int) -> Convert:
    """A whole number from ``least`` to ``most``."""

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
    """A port. An invalid one is not shown: it may be the password next to it."""
    try:
        return cast(int, as_whole(1, 65_535)(name, value))
    except ConfigError:
        raise ConfigError(
            f"{name} is not a port: it must be a whole number from 1 to 65535."
        ) from None


def as_bounce_address(name: str, value: Any) -> str:
    """A bare ASCII address, with a local part behind which a token fits."""
    wanted = (
        "a bare address such as 'bounces@example.com', with at most "
        f"{LONGEST_LOCAL} letters, digits and - . _ before its @"
    )
    try:
        address = Address.parse(as_text(name, value), name)
    except AddressError as error:
        raise wrong(name, value, wanted) from error
    fits = _is_plain(address.local) and len(address.local) <= LONGEST_LOCAL
    if address.display_name or not fits:
        raise wrong(name, value, wanted)
    return address.spec


_is_plain = re.compile(r"[A-Za-z0-9._-]+").fullmatch


NO_LIMIT = sys.maxsize
"""Used for 0; so large that it never limits anything."""


def as_count_or_no_limit(name: str, value: Any) -> int:
    """A whole number; 0 means no limit, as in Flask-Mail."""
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


def as_retry_window(otherwise: RetryWindow) -> Convert:
    """Seconds, or seconds by tag; ``otherwise`` is for tags not in a mapping."""

    def convert(name: str, value: Any) -> RetryWindow:
        if isinstance(value, RetryWindow):
            return value
        if not isinstance(value, Mapping):
            return RetryWindow(as_seconds(name, value))
        by_tag = {
            _tag(name, tag): as_seconds(f"{name}[{tag!r}]", one)
            for tag, one in value.items()
        }
        return RetryWindow(by_tag.pop(ANY_OTHER, otherwise.seconds), by_tag)

    return convert


def as_tag_counts(name: str, value: Any) -> dict[str, int]:
    """A mapping of tags to whole numbers from 1."""
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
    """A function or another callable."""
    if not callable(value):
        raise ConfigError(
            f"{name} is of type {type(value).__name__}: it must be a function."
        )
    return cast(Callable[..., Any], value)


def as_api_key(name: str, value: Any) -> str | Callable[[], Any]:
    """A non-empty string, or a function that returns one."""
    return value if callable(value) else as_secret(name, value)


def as_secrets(name: str, value: Any) -> tuple[str, ...] | Callable[[], Any]:
    """Non-empty strings, from one or from a list, or a function that returns them."""
    if callable(value):
        return cast(Callable[[], Any], value)
    some = value if isinstance(value, list | tuple) else [value]
    if not some:
        raise ConfigError(f"{name} is empty: it must be a string or a list of strings.")
    return tuple(as_secret(name, one) for one in some)


LOCAL = "local"
"""The value of ``OUTBOX_DASHBOARD`` that allows requests from this machine."""


def as_dashboard_access(name: str, value: Any) -> Any:
    """``"local"``, or a function that returns which access the current user has."""
    if value == LOCAL or callable(value):
        return value
    raise wrong(
        name,
        value,
        '"local", for this machine only, or a function without arguments that returns '
        "True, or a list of roles, to allow the request",
    )


def as_views(name: str, value: Any) -> Mapping[str, Mapping[str, str]]:
    """Named searches, each of which becomes the fields of its query string."""
    if not isinstance(value, Mapping) or not all(
        isinstance(one, str) and one.strip() and isinstance(query, str)
        for one, query in value.items()
    ):
        raise wrong(
            name,
            value,
            "a dict of names and query strings, as in "
            '{"Failed today": "is=failed&last=24h"}',
        )
    return {
        one: dict(parse_qsl(query.removeprefix("?"))) for one, query in value.items()
    }


TOKEN_LENGTH = 16
"""The shortest token that lets a request in: shorter ones are guessed, or mistyped."""


def as_metrics_access(name: str, value: Any) -> Any:
    """``"local"``, tokens, or a function that returns whether a request has access."""
    if value == LOCAL or callable(value):
        return value
    tokens = value if isinstance(value, list | tuple) else [value]
    if not tokens or not all(_is_token(one) for one in tokens):
        raise ConfigError(
            f'{name} must be "local", for this machine only, a token of at least '
            f"{TOKEN_LENGTH} printable ASCII characters without spaces, a list of such "
            "tokens, or a function without arguments that returns True to allow the "
            "request."
        )
    return tuple(tokens)


def _is_token(value: Any) -> bool:
    return (
        isinstance(value, str)
        and len(value) >= TOKEN_LENGTH
        and all("!" <= one <= "~" for one in value)
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
        "otherwise has only letters, digits and . _ ~ -",
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
    """Strings, from a list or from one string with commas."""
    some = value.split(",") if isinstance(value, str) else value
    if isinstance(some, list | tuple | set | frozenset):
        found = tuple(one.strip() if isinstance(one, str) else "" for one in some)
        if found and all(found):
            return found
    raise wrong(name, value, "a list of strings, or a string with commas, not empty")


def as_words(*words: str) -> Convert:
    """Some of ``words``, as `as_list` takes them; True is all, False none."""

    def convert(name: str, value: Any) -> tuple[str, ...]:
        given = _all_or_none(value)
        if given is not None:
            return words if given else ()
        wanted = f"True, False or a list of some of {', '.join(map(repr, words))}"
        try:
            found = as_list(name, value)
        except ConfigError:
            raise wrong(name, value, wanted) from None
        if not set(found) <= set(words):
            raise wrong(name, value, wanted)
        return found

    return convert


def as_tags_or_all(name: str, value: Any) -> tuple[str, ...] | bool:
    """Tags, as `as_list` takes them; True is all mail, False none."""
    given = _all_or_none(value)
    return as_list(name, value) if given is None else given


def _all_or_none(value: Any) -> bool | None:
    """What is said of all at once: True, False, or None if single ones are named."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _TRUE | _FALSE:
        return value.strip().lower() in _TRUE
    return False if isinstance(value, Sequence) and not value else None


def as_rate(name: str, value: Any) -> tuple[Limit, ...]:
    """Limits, from ``"10/s, 5000/h"``."""
    try:
        return parse_limits(value)
    except (AttributeError, ValueError):
        wanted = 'numbers per s, min, h or d, as in "10/s, 5000/h"'
        raise wrong(name, value, wanted) from None


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def is_transport_name(value: Any) -> bool:
    """Whether a transport may have this name."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def as_transports(name: str, value: Any) -> dict[str, Any]:
    """Names of transports, each with a URL or a mapping; an invalid value may be a
    secret, and is not shown.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"{name} is of type {type(value).__name__}: it must be a dict of names."
        )
    for number, (key, given) in enumerate(value.items(), 1):
        if not is_transport_name(key):
            raise ConfigError(
                f"{name} has an invalid name at position {number}: it must be 1 to 64 "
                "letters, digits and . _ -, and its value a URL or a dict of MAIL_* "
                "keys."
            )
        if not given or not isinstance(given, str | Mapping):
            raise ConfigError(
                f"{name}[{key!r}] is of type {type(given).__name__}: it must be a URL "
                "or a dict of MAIL_* keys, and not empty."
            )
    return dict(value)


def as_failover(name: str, value: Any) -> dict[str, tuple[str, ...]]:
    """Names of transports, each with the names of its fallbacks, in order."""
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


@dataclass(frozen=True, slots=True)
class Key:
    """One setting: its name, its type, its default and its purpose."""

    name: str
    type_name: str
    default: Any
    doc: str
    convert: Convert
    default_words: str = ""

    @property
    def default_text(self) -> str:
        """The default, as text for the documentation."""
        return self.default_words or repr(self.default)

    def read(self, config: Mapping[str, Any]) -> Any:
        """The valid value in ``config``, or the default.

        An empty value counts as unset (`is_unset`). Raises `ConfigError` with the key
        and the value.
        """
        value = config.get(self.name)
        return self.default if is_unset(value) else self.convert(self.name, value)
