"""``MAIL_DKIM_KEYS``: the DKIM keys and the domains that they sign for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ..errors import ConfigError
from ..message.text import shown
from .convert import wrong

_FIELDS = ("domain", "selector", "key_file", "key")

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_is_selector = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.IGNORECASE).fullmatch


@dataclass(frozen=True, slots=True)
class DkimKey:
    """One private key as configured; its PEM is not parsed yet."""

    place: str
    """Its place in the settings, for errors: ``MAIL_DKIM_KEYS[0] (s1, …)``."""
    domain: str
    """Lower-case ASCII (IDNA 2008)."""
    selector: str
    pem: bytes = field(repr=False)


def as_dkim_keys(name: str, value: Any) -> tuple[DkimKey, ...]:
    """A list of dictionaries, each with a domain, a selector and a private key."""
    if not isinstance(value, list | tuple):
        raise ConfigError(
            f"{name} is of type {type(value).__name__}: it must be a list, with a "
            'dictionary of "domain", "selector" and "key_file" for each key.'
        )
    keys = [_key(f"{name}[{index}]", entry) for index, entry in enumerate(value)]
    seen: dict[tuple[str, str], str] = {}
    for key in keys:
        first = seen.setdefault((key.domain, key.selector), key.place)
        if first != key.place:
            raise ConfigError(
                f"{key.place} repeats {first}: each must be a selector of its own."
            )
    return tuple(keys)


def _key(name: str, entry: Any) -> DkimKey:
    if not isinstance(entry, Mapping):
        raise ConfigError(
            f"{name} is of type {type(entry).__name__}: it must be a dictionary of "
            '"domain", "selector" and "key_file".'
        )
    for given in entry:
        if given not in _FIELDS:
            known = ", ".join(_FIELDS)
            raise ConfigError(f"{name} has {given!r}: it must be one of {known}.")
    domain = _domain(f"{name}['domain']", entry.get("domain"))
    selector = _selector(f"{name}['selector']", entry.get("selector"))
    place = f"{name} ({selector}._domainkey.{domain})"
    return DkimKey(place, domain, selector, _pem(name, entry))


def _domain(name: str, value: Any) -> str:
    import idna

    try:
        domain = idna.encode(value, uts46=True, std3_rules=True).decode().lower()
    except (TypeError, UnicodeError, AttributeError):  # idna's errors are UnicodeErrors
        domain = ""
    if "." not in domain or domain.endswith("."):
        raise wrong(name, value, 'the domain of From, such as "example.com"')
    return domain


def _selector(name: str, value: Any) -> str:
    wanted = 'what comes before "._domainkey" in the name of the DNS record'
    if not isinstance(value, str) or not _is_selector(value):
        raise wrong(name, value, wanted)
    return value


def _pem(name: str, entry: Mapping[str, Any]) -> bytes:
    path, text = entry.get("key_file"), entry.get("key")
    if (path is None) == (text is None):
        both = "neither" if path is None else "both"
        raise ConfigError(
            f'{name} has {both} of "key_file" and "key": it must be one of them, the '
            "path of the private key in PEM form, or the PEM text itself."
        )
    if text is not None:
        if not isinstance(text, str | bytes):
            kind = type(text).__name__
            raise ConfigError(f"{name}['key'] is of type {kind}: it must be PEM text.")
        return text.encode() if isinstance(text, str) else text
    try:
        return Path(cast(str, path)).read_bytes()
    except (OSError, TypeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ConfigError(
            f"{name}['key_file'] is {shown(path)}, which cannot be read ({reason}): it "
            "must be the path of the private key, readable by this process."
        ) from None
