"""``OUTBOX_ENCRYPTION_KEYS``: the keys by which the outbox's contents are encrypted."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError

KEY_BYTES = 32

_is_id = re.compile(r"[A-Za-z0-9_-]{1,16}").fullmatch

_NEW = "'flask outbox new-key' makes one"


@dataclass(frozen=True, slots=True)
class EncryptionKey:
    """One key: what encrypts is derived from its ``secret``."""

    id: str
    """Stored with all that is encrypted with it."""
    secret: bytes = field(repr=False)


def as_encryption_keys(name: str, value: Any) -> tuple[EncryptionKey, ...]:
    """Keys, from a mapping of ids to keys in base64, or from ``"id:key,id:key"``.

    Errors show ids, and nothing of keys.
    """
    keys = tuple(_key(name, *pair) for pair in _pairs(name, value))
    if len({key.id for key in keys}) < len(keys):
        raise ConfigError(f"{name} has an id twice: each must belong to one key.")
    return keys


def _pairs(name: str, value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, Mapping) and value:
        return value.items()
    some = value.split(",") if isinstance(value, str) else value
    texts = isinstance(some, list | tuple) and all(isinstance(one, str) for one in some)
    if texts and some:
        return [_cut(one) for one in some]
    raise ConfigError(
        f"{name} must be a mapping of key ids to keys in base64, or a string such as "
        f'"id:key,id:key", the first for all that is new; {_NEW}.'
    )


def _cut(pair: str) -> tuple[str, str]:
    id, colon, secret = pair.strip().partition(":")
    return (id, secret) if colon else ("", id)


def _key(name: str, id: Any, secret: Any) -> EncryptionKey:
    if not isinstance(id, str) or not _is_id(id):
        said = f"the key id {id!r}" if id else "a key without an id"
        raise ConfigError(
            f"{name} has {said}: an id must be 1 to 16 letters, digits, '-' and '_', "
            f'as in "2026-11:…"; {_NEW}.'
        )
    try:
        found = base64.b64decode(secret, validate=True)
    except (TypeError, ValueError):
        found = b""
    if len(found) != KEY_BYTES:
        raise ConfigError(
            f"{name}: the key {id!r} must be {KEY_BYTES} bytes in base64; {_NEW}."
        )
    return EncryptionKey(id, found)
