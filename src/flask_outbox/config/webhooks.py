"""``OUTBOX_WEBHOOKS``: the endpoints that are told what became of messages."""

from __future__ import annotations

import base64
import binascii
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ..errors import ConfigError
from ..webhooks.addresses import is_public
from ..webhooks.kinds import DEFAULT_WEBHOOK_KINDS, WEBHOOK_KINDS
from .convert import as_callable, as_flag, as_text, is_transport_name

_FIELDS = ("url", "secrets", "events", "allow_private", "metadata")

PREFIX = "whsec_"

SECRET_BYTES = (24, 64)
"""The fewest and the most bytes of a secret (Standard Webhooks)."""

Keys = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """One endpoint as configured. No secret is in its ``repr``."""

    name: str
    url: str = field(repr=False)
    """Not shown, as its path or its query may be a secret."""
    read_keys: Callable[[], Keys] = field(repr=False)
    """Returns the keys that each request is signed with, all of them valid at once.

    May raise anything, where the app returns them: then the text of a `ConfigError`
    shows no secret.
    """
    kinds: frozenset[str]
    """The kinds of event that it is told."""
    allow_private: bool = False
    """Whether it may be at an address that is not public, and without TLS."""
    metadata: bool = False
    """Whether it is told the messages' metadata."""

    @property
    def place(self) -> str:
        """Where it is, for people: the URL without its path and query."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


def as_webhooks(name: str, value: Any) -> dict[str, WebhookEndpoint]:
    """A dict of names, each with a dict of its URL, its secrets and its options."""
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"{name} is of type {type(value).__name__}: it must be a dict of names, "
            'each with a dict of "url" and "secrets".'
        )
    for number, key in enumerate(value, 1):
        if not is_transport_name(key):
            raise ConfigError(
                f"{name} has an invalid name at position {number}: it must be 1 to 64 "
                "letters, digits and . _ -."
            )
    return {key: _endpoint(name, key, entry) for key, entry in value.items()}


def _endpoint(setting: str, key: str, entry: Any) -> WebhookEndpoint:
    name = f"{setting}[{key!r}]"
    if not isinstance(entry, Mapping):
        raise ConfigError(
            f"{name} is of type {type(entry).__name__}: it must be a dict of "
            '"url" and "secrets".'
        )
    for given in entry:
        if given not in _FIELDS:
            known = ", ".join(_FIELDS)
            raise ConfigError(f"{name} has {given!r}: it must be one of {known}.")
    allow_private = as_flag(f"{name}['allow_private']", entry.get("allow_private", 0))
    return WebhookEndpoint(
        name=key,
        url=_url(f"{name}['url']", entry.get("url"), allow_private=allow_private),
        read_keys=_key_reader(f"{name}['secrets']", entry.get("secrets")),
        kinds=_kinds(f"{name}['events']", entry.get("events", DEFAULT_WEBHOOK_KINDS)),
        allow_private=allow_private,
        metadata=as_flag(f"{name}['metadata']", entry.get("metadata", False)),
    )


def _url(name: str, value: Any, *, allow_private: bool) -> str:
    """A URL that may be called. It is not shown, as it may have a secret in it."""
    try:
        url = as_text(name, value)
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except (ConfigError, ValueError):
        raise _no_url(name) from None
    _check_scheme(name, parts, allow_private=allow_private)
    if not host or any(one.isspace() or not one.isprintable() for one in url):
        raise _no_url(name)
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ConfigError(
            f"{name} has a user name, a password or a fragment (#): remove it; the "
            "signature says who sends it."
        )
    address = _literal(host)
    if address is not None and not allow_private and not is_public(address):
        raise ConfigError(
            f"{name} leads to {address}, which is not a public address: name a public "
            'host, or set "allow_private": True in this entry.'
        )
    return url


def _no_url(name: str) -> ConfigError:
    return ConfigError(f"{name} is not a URL: it must be https://, a host and a path.")


def _check_scheme(name: str, parts: SplitResult, *, allow_private: bool) -> None:
    if parts.scheme not in ("https", "http"):
        raise _no_url(name)
    if parts.scheme == "http" and not allow_private:
        raise ConfigError(
            f"{name} begins with http://, so anyone on the path could read it: it must "
            'begin with https://, or the entry must have "allow_private": True.'
        )


def _literal(host: str) -> str | None:
    """The address that ``host`` spells, in any way that the system reads; None for a
    name.
    """
    if ":" in host:
        return host
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return "127.0.0.1" if host.rstrip(".").lower() == "localhost" else None


def _kinds(name: str, value: Any) -> frozenset[str]:
    known = ", ".join(WEBHOOK_KINDS)
    if not isinstance(value, list | tuple | set | frozenset) or not value:
        raise ConfigError(f"{name} must be a list of kinds of event, of {known}.")
    for one in value:
        if one not in WEBHOOK_KINDS:
            raise ConfigError(f"{name} has {one!r}: it must be one of {known}.")
    return frozenset(map(str, value))


def _key_reader(name: str, value: Any) -> Callable[[], Keys]:
    """A function that returns the keys; what is not a function is read at once."""
    if callable(value):
        read = as_callable(name, value)
        return lambda: _keys(f"What the function in {name} returned", read())
    keys = _keys(name, value)
    return lambda: keys


def _keys(name: str, value: Any) -> Keys:
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not given:
        raise ConfigError(
            f'{name} is of type {type(value).__name__}: it must be a "whsec_…" string, '
            "or a list of them that is not empty."
        )
    return tuple(_key(name, one) for one in given)


def _key(name: str, secret: Any) -> bytes:
    least, most = SECRET_BYTES
    wanted = (
        f'{name} has a secret that is not "whsec_" and {least} to {most} bytes in '
        "base64: make one with python -c 'import base64, os; "
        'print("whsec_" + base64.b64encode(os.urandom(32)).decode())\'.'
    )
    if not isinstance(secret, str) or not secret.startswith(PREFIX):
        raise ConfigError(wanted)
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError(wanted) from None
    if not least <= len(key) <= most:
        raise ConfigError(wanted)
    return key
