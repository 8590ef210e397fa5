"""The register of the keys with which something in the outbox may be encrypted.

By it a wrong key is known before anything is encrypted with it or cannot be read. It
also keeps the look-up key, which is random and the same as long as the outbox is there:
encrypted with each of the others.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, select, update

from ..errors import Damaged, KeyRefused
from .encryption import LOOKUP_KEY_BYTES, Keyring, Place
from .records import EncryptionStatus
from .schema import ONE, encryption_key
from .sealed import SEALED
from .statements import RowsInsert, run_together

CLEAR = ""
"""In place of a key id: something may be in the clear."""

_LOCK = "*"
"""In place of a key id: somebody registers a key. Nobody else ever sees that row."""

_PROOF = "proof"

_CLOSED = "Until then nothing is read from the outbox or stored in it."

_add = RowsInsert(encryption_key, "id", "proof", "lookup", skip_present=True)


def is_registered(connection: Connection, keys: Keyring | None, keys_from: str) -> bool:
    """Whether the first of ``keys`` is registered; with None, that no key is.

    If so, ``keys`` have the outbox's look-up key from now on. Raises `KeyRefused` if
    one of them is another one than is registered; the error names the setting
    ``keys_from``.
    """
    known = _known(connection)
    if keys is None:
        if known:
            raise KeyRefused(
                f"The outbox is encrypted, with the keys {_listed(known)}: set "
                f"{keys_from}. {_CLOSED}",
                anchor="no-keys",
            )
        return True
    for id in keys.ids:
        if id in known and not _is_proved(keys, id, known[id].proof):
            raise KeyRefused(
                f"The key {id!r} in {keys_from} is not the key {id!r} with which the "
                "outbox is encrypted. Put that one back, and give a new key an id of "
                f"its own. {_CLOSED}",
                anchor="other-key",
            )
    secret = _lookup_key(known, keys, keys_from)
    if secret is None or keys.first not in known or known[keys.first].lookup is None:
        return False
    keys.look_up_with(secret, may_be_clear=CLEAR in known)
    return True


def take_anew(connection: Connection, keys: Keyring) -> bool:
    """Have ``keys`` look up with the look-up key that is in the outbox now; whether
    there is one.

    If it can be read with none of them, they keep theirs: it is the same, encrypted by
    processes with newer keys.
    """
    known = _known(connection)
    having = [id for id, row in known.items() if row.lookup is not None]
    for id in having:
        if id in keys.ids and _is_proved(keys, id, known[id].proof):
            secret = b64decode(keys.open(known[id].lookup, _place(id, "lookup")))
            may_be_clear = keys.may_be_clear or CLEAR in known
            keys.look_up_with(secret, may_be_clear=may_be_clear)
            break
    return bool(having)


def _lookup_key(known: _Known, keys: Keyring, keys_from: str) -> bytes | None:
    """The look-up key; None if there is none yet. Raises `KeyRefused`."""
    having = [id for id, row in known.items() if row.lookup is not None]
    for id in having:
        if id in keys.ids:
            return b64decode(keys.open(known[id].lookup, _place(id, "lookup")))
    if having:
        raise KeyRefused(
            "The addresses in the outbox can be read with the keys "
            f"{_listed(having)}, and none of these is in {keys_from}: put one back "
            "there, after the first key, until 'flask outbox rekey' has run. "
            f"{_CLOSED}",
            anchor="addresses",
        )
    return None


def _listed(ids: Iterable[str]) -> str:
    return ", ".join(sorted(repr(id) for id in ids if id != CLEAR))


def _is_proved(keys: Keyring, id: str, proof: str) -> bool:
    try:
        return keys.open(proof, _place(id)) == _PROOF
    except Damaged:
        return False


def _place(id: str, column: str = "proof") -> Place:
    return Place(f"{encryption_key.name}.{column}", id)


_Known = Mapping[str, Row[Any]]
"""The registered keys, by their ids."""


def _known(connection: Connection) -> _Known:
    rows = connection.execute(
        select(encryption_key).where(encryption_key.c.id != _LOCK)
    )
    return {row.id: row for row in rows}


def register(connection: Connection, keys: Keyring, keys_from: str) -> None:
    """Register the first of ``keys``, if it is not yet, with the look-up key.

    If there was none, addresses in the outbox are in the clear, and perhaps all of it.
    """
    run_together(connection, _add.statements(connection, [(_LOCK, "", None)]))
    known = _known(connection)
    present = _lookup_key(known, keys, keys_from)
    secret = present or os.urandom(LOOKUP_KEY_BYTES)
    wrapped = keys.seal(b64encode(secret).decode(), _place(keys.first, "lookup"))
    proof = keys.seal(_PROOF, _place(keys.first))
    rows: list[tuple[str, str, str | None]] = [(keys.first, proof, wrapped)]
    if present is None and _has_rows(connection):
        rows.append((CLEAR, "", None))
    run_together(connection, _add.statements(connection, rows))
    connection.execute(
        update(encryption_key)
        .where(encryption_key.c.id == keys.first)
        .values(lookup=wrapped)
    )
    connection.execute(delete(encryption_key).where(encryption_key.c.id == _LOCK))
    is_registered(connection, keys, keys_from)


def _has_rows(connection: Connection) -> bool:
    return any(
        connection.scalar(select(exists(select(ONE).select_from(table))))
        for table in SEALED
    )


def forget_others(connection: Connection, keys: Keyring) -> bool:
    """Note that all is encrypted, with the first of ``keys``; whether that is new."""
    others = delete(encryption_key).where(encryption_key.c.id != keys.first)
    return connection.execute(others).rowcount > 0


def status(connection: Connection, keys: Keyring) -> EncryptionStatus:
    """Which keys are in use."""
    known = _known(connection)
    others = sorted(known.keys() - {CLEAR, keys.first})
    return EncryptionStatus(
        key=keys.first,
        old_keys=tuple(others),
        missing_keys=tuple(id for id in others if id not in keys.ids),
        clear=CLEAR in known,
    )
