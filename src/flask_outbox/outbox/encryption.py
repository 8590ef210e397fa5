"""Encryption at rest: how values are encrypted, and with which keys.

Values are encrypted by AES-256-GCM (NIST SP 800-38D) with a random nonce. An encrypted
value names its key. It can be decrypted only in the place for which it was encrypted:
the column and the row are its associated data.

Values by which rows are found, such as addresses, are encrypted by AES-SIV (RFC 5297)
with the outbox's look-up key, and their column alone is associated: so equal values of
a column stay equal.
"""

from __future__ import annotations

import hmac
import os
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..config import EncryptionKey
from ..errors import ConfigError, Damaged, KeyMissing

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

MARK = "\x01"
"""How encrypted values begin, and no others: control characters are not stored."""

LOOKUP_MARK = f"{MARK}:"
"""How what is encrypted with the look-up key begins: no other key has an empty id."""

LOOKUP_KEY_BYTES = 32

NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value is stored: what is encrypted for one place fits no other."""

    column: str
    """With its table: ``outbox_content.body``."""
    row: str
    """The id of the message or whatever else the row belongs to."""

    def __str__(self) -> str:
        table, _, column = self.column.partition(".")
        name = table.removeprefix("outbox_")
        if name in ("message", "content", "recipient", "event"):
            return f"The {column} ({table}) of message {self.row}"
        return f"The {column} of {name} {self.row}"

    @property
    def associated_data(self) -> bytes:
        """What must be the same when a value is decrypted."""
        return f"{self.column}\0{self.row}".encode()


class _Key:
    """What is derived from one secret, by HKDF (RFC 5869): a key for each purpose."""

    def __init__(self, given: EncryptionKey) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self.content: AESGCM = AESGCM(_derived(given.secret, "content", 32))
        self.digest = _derived(given.secret, "digest", 32)
        self.mark = f"{MARK}{given.id}:"
        self.byte_mark = self.mark.encode()


def _derived(secret: bytes, purpose: str, length: int) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    info = f"flask-outbox {purpose}".encode()
    return HKDF(SHA256(), length, salt=None, info=info).derive(secret)


class Keyring:
    """The keys of an outbox: the first encrypts, all decrypt. Safe to share.

    Raises `ConfigError` without the package that encrypts.
    """

    def __init__(self, keys: Iterable[EncryptionKey]) -> None:
        try:
            self._keys = {one.id: _Key(one) for one in keys}
        except ImportError as error:
            raise ConfigError(
                "OUTBOX_ENCRYPTION_KEYS needs the package cryptography: pip install "
                "'flask-outbox[encryption]'."
            ) from error
        self.first: str = next(iter(self._keys))
        """The id of the key that encrypts."""
        self._first = self._keys[self.first]
        self._lookup: AESSIV | None = None
        self.may_be_clear: bool = True
        """Whether rows may have to be found by values in the clear, too."""

    def look_up_with(self, secret: bytes, *, may_be_clear: bool) -> None:
        """Take the outbox's look-up key, which its register keeps."""
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV

        self._lookup = AESSIV(_derived(secret, "look-up", 64))
        self.may_be_clear = may_be_clear

    @property
    def mark(self) -> str:
        """How what the first key has encrypted begins."""
        return self._first.mark

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the keys."""
        return tuple(self._keys)

    def seal(self, value: str, place: Place) -> str:
        """``value``, encrypted for ``place``."""
        return (
            self._first.mark + b64encode(self._sealed(value.encode(), place)).decode()
        )

    def seal_bytes(self, value: bytes, place: Place) -> bytes:
        """``value``, encrypted for ``place``."""
        return self._first.byte_mark + self._sealed(value, place)

    def _sealed(self, value: bytes, place: Place) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._first.content.encrypt(nonce, value, place.associated_data)

    def seal_equally(self, value: str, column: str) -> str:
        """``value``, encrypted so that equal values of ``column`` stay equal.

        An empty one stays empty.
        """
        if not value:
            return value
        sealed = self._lookup_key.encrypt(value.encode(), [column.encode()])
        return LOOKUP_MARK + b64encode(sealed).decode()

    def forms(self, value: str, column: str) -> list[str]:
        """Whatever ``value`` may be stored as in ``column``: in the clear first, for
        whoever asks one after another while that is being encrypted.
        """
        sealed = self.seal_equally(value, column)
        return [value, sealed] if self.may_be_clear and sealed != value else [sealed]

    @property
    def _lookup_key(self) -> AESSIV:
        assert self._lookup is not None  # the database is open
        return self._lookup

    def open(self, value: str, place: Place) -> str:
        """What was encrypted for ``place``; a value in the clear as it is.

        Raises `KeyMissing` and `Damaged`.
        """
        if not value.startswith(MARK):
            return value
        if value.startswith(LOOKUP_MARK):
            return self._opened_equally(value, place)
        id, _, rest = value[1:].partition(":")
        try:
            return self._opened(id, b64decode(rest, validate=True), place).decode()
        except ValueError:
            raise _damaged(place) from None

    def _opened_equally(self, value: str, place: Place) -> str:
        from cryptography.exceptions import InvalidTag

        try:
            sealed = b64decode(value[len(LOOKUP_MARK) :], validate=True)
            return self._lookup_key.decrypt(sealed, [place.column.encode()]).decode()
        except (InvalidTag, ValueError):
            raise _damaged(place) from None

    def open_bytes(self, value: bytes, place: Place) -> bytes:
        """Do what `open` does."""
        id = key_of(value)
        if id is None:
            return value
        return self._opened(id, value[len(id.encode()) + 2 :], place)

    def _opened(self, id: str, sealed: bytes, place: Place) -> bytes:
        from cryptography.exceptions import InvalidTag

        key = self._keys.get(id)
        if key is None:
            raise KeyMissing(id, str(place))
        nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return key.content.decrypt(nonce, rest, place.associated_data)
        except (InvalidTag, ValueError):
            raise _damaged(place) from None

    def digest(self, content: bytes) -> str:
        """What equal contents have in common, and nobody can tell without the key."""
        return hmac.digest(self._first.digest, content, "sha256").hex()


_LONGEST_MARK = 20


def key_of(value: bytes) -> str | None:
    """The id of the key that ``value`` is encrypted with; None if it is not."""
    if value[:1] != MARK.encode():
        return None
    return bytes(value[1:_LONGEST_MARK]).partition(b":")[0].decode("ascii", "replace")


def _damaged(place: Place) -> Damaged:
    return Damaged(
        f"{place} was changed since it was encrypted, or belongs to another row: "
        "restore it from a backup."
    )
