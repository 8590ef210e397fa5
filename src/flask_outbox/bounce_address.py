"""The return path of a message, which says whose report comes back (VERP).

Only this app can make one, and it is valid for as long as the app's keys. The app's
name is signed too, since other apps may have the same keys.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass, field
from itertools import islice
from typing import Self

from .errors import ConfigError
from .message import Address
from .message.addresses import LOCAL_OCTETS

SALT = b"flask-outbox bounce"

ID_LENGTH, SIGNATURE_LENGTH = 26, 16
"""A message's id, and 80 bits of an HMAC-SHA256 in base32."""

TOKEN_LENGTH = ID_LENGTH + SIGNATURE_LENGTH

SEPARATOR = "+"

LONGEST_LOCAL = LOCAL_OCTETS - len(SEPARATOR) - TOKEN_LENGTH
"""How long the local part of a bounce address may be, so that a token fits behind it
(RFC 5321 section 4.5.3.1.1).
"""

_FORM = rf"[0-7][0-9a-hjkmnp-tv-z]{{{ID_LENGTH - 1}}}[a-z2-7]{{{SIGNATURE_LENGTH}}}"
_token = re.compile(rf"(?<![0-9a-z]){_FORM}(?![0-9a-z])", re.IGNORECASE | re.ASCII)
_return_path = re.compile(rf".+\{SEPARATOR}({_FORM})@.+", re.ASCII).fullmatch

MOST_TOKENS = 100
"""How many tokens of a mail are checked."""


def token_of(return_path: str) -> str | None:
    """The token of a return path that `BounceAddress.of` made; None for any other."""
    found = _return_path(return_path)
    return found[1] if found else None


@dataclass(frozen=True, slots=True)
class BounceAddress:
    """Where reports about an app's mail come back, and the keys that sign for which.

    Tokens are made with the first key, and valid with any. Servers may change their
    case.
    """

    local: str
    domain: str
    app_name: str
    keys: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def read(cls, address: str, app_name: str, keys: tuple[str | bytes, ...]) -> Self:
        """For the bare ``address``. Raises `ConfigError` without a key."""
        if not keys:
            raise ConfigError(
                "Return paths are signed with the app's SECRET_KEY, which is not set: "
                "set it, or do without OUTBOX_BOUNCE_ADDRESS."
            )
        parsed = Address.parse(address, "OUTBOX_BOUNCE_ADDRESS")
        in_bytes = (one.encode() if isinstance(one, str) else one for one in keys)
        return cls(parsed.local, parsed.domain, app_name, tuple(in_bytes))

    @property
    def spec(self) -> str:
        """The address without a token."""
        return f"{self.local}@{self.domain}"

    def token(self, message_id: str) -> str:
        """The signed token of a message."""
        id = message_id.lower()
        return id + self._signature(id, self.keys[0])

    def of(self, message_id: str) -> str:
        """The return path of a message."""
        return f"{self.local}{SEPARATOR}{self.token(message_id)}@{self.domain}"

    def message_of(self, token: str) -> str | None:
        """The id of the message with this token; None if this app did not sign it."""
        if not _token.fullmatch(token):
            return None
        id, signature = token[:ID_LENGTH].lower(), token[ID_LENGTH:].lower()
        for key in self.keys:
            if hmac.compare_digest(self._signature(id, key), signature):
                return id.upper()
        return None

    def first_message_in(self, text: str) -> str | None:
        """The id of the message whose valid token comes first in ``text``, if any."""
        tokens = dict.fromkeys(_token.findall(text))
        for token in islice(tokens, MOST_TOKENS):
            if (message_id := self.message_of(token)) is not None:
                return message_id
        return None

    def _signature(self, id: str, key: bytes) -> str:
        signed = b"\0".join((SALT, self.app_name.encode(), id.encode()))
        digest = hmac.digest(key, signed, "sha256")
        return base64.b32encode(digest)[:SIGNATURE_LENGTH].decode().lower()
