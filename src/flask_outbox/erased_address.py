"""What stays of an address once a person's data are erased.

On the suppression list a keyed digest takes its place: whoever has the app's key can
ask whether a given address is on the list, and nobody can read the list. Elsewhere a
placeholder takes its place, which names nobody.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from .errors import ConfigError
from .message import comparable

PREFIX = "digest:"
"""What digests begin with. No address does, since a digest has no @."""

SALT = b"flask-outbox erased address"

PLACEHOLDER = "erased@invalid"
"""What takes the place of an address in a text (RFC 2606)."""


def erased_recipient(position: int) -> str:
    """What takes the place of a message's recipient: different in one message, and the
    same in all messages, so that it links none of them.
    """
    return f"erased-{position}@invalid"


def is_erased_recipient(address: str) -> bool:
    """Whether `erased_recipient` made it."""
    return address.startswith("erased-") and address.endswith("@invalid")


_is_digest = re.compile(rf"{PREFIX}[0-9a-f]{{8}}:[0-9a-f]{{64}}").fullmatch


def is_digest(address: str) -> bool:
    """Whether it has the form of an address's digest."""
    return _is_digest(address) is not None


@dataclass(slots=True)
class ErasedAddresses:
    """Makes the digests of addresses, and recognises addresses by their digests.

    Digests are made with the first key, and recognised with any.
    """

    keys: tuple[bytes, ...] = field(default=(), repr=False)
    exist: bool = False
    """Whether this process has seen that the suppression list has digests: until then
    none are computed."""

    @classmethod
    def read(cls, secrets: Iterable[str | bytes]) -> Self:
        """For the app's secret keys, the current one first."""
        in_bytes = (one.encode() if isinstance(one, str) else one for one in secrets)
        return cls(tuple(hmac.digest(one, SALT, "sha256") for one in in_bytes))

    def digest(self, address: str) -> str:
        """The digest that stays of ``address``. Raises `ConfigError` without a key."""
        if not self.keys:
            raise ConfigError(
                "A suppression that outlives its address is a digest keyed with the "
                "app's SECRET_KEY, which is not set: set it. Nothing was erased."
            )
        return _digest(self.keys[0], address)

    @property
    def beginnings(self) -> list[str]:
        """What each digest begins with by which an address may be on the list."""
        return [f"{PREFIX}{_key_id(key)}:" for key in self.keys]

    def digests(self, address: str) -> list[str]:
        """Every digest by which ``address`` may be on the list."""
        return [_digest(key, address) for key in self.keys]


def _digest(key: bytes, address: str) -> str:
    value = hmac.digest(key, comparable(address).encode(), "sha256").hex()
    return f"{PREFIX}{_key_id(key)}:{value}"


def _key_id(key: bytes) -> str:
    return hmac.digest(key, b"key id", "sha256").hex()[:8]
