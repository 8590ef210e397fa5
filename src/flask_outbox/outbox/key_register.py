"""The register of the keys with which something in the outbox may be encrypted.

By it a wrong key is known before anything is encrypted with it or cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, delete, exists, select

from ..errors import Damaged, KeyRefused
from .encryption import Keyring, Place
from .records import EncryptionStatus
from .schema import ONE, encryption_key
from .sealed import SEALED
from .statements import RowsInsert, run_together

CLEAR = ""
"""In place of a key id: something may be in the clear."""

_PROOF = "proof"

_add = RowsInsert(encryption_key, "id", "proof", skip_present=True)


def is_registered(connection: Connection, keys: Keyring | None) -> bool:
    """Whether the first of ``keys`` is registered; with None, that no key is.

    Raises `KeyRefused` if one of them is another one than is registered.
    """
    known = _known(connection)
    if keys is None:
        if known:
            raise KeyRefused(
                f"The outbox is encrypted, with the keys {_listed(known)}: set "
                "OUTBOX_ENCRYPTION_KEYS. Nothing was stored."
            )
        return True
    for id in keys.ids:
        if id in known and not _is_proved(keys, id, known[id]):
            raise KeyRefused(
                f"The key {id!r} in OUTBOX_ENCRYPTION_KEYS is another one than the "
                f"key {id!r} with which the outbox is encrypted. Put that back, and "
                "give a new key an id of its own. Nothing was stored."
            )
    return keys.first in known


def _listed(ids: Iterable[str]) -> str:
    return ", ".join(sorted(repr(id) for id in ids if id != CLEAR))


def _is_proved(keys: Keyring, id: str, proof: str) -> bool:
    try:
        return keys.open(proof, _place(id)) == _PROOF
    except Damaged:
        return False


def _place(id: str) -> Place:
    return Place(f"{encryption_key.name}.proof", id)


def _known(connection: Connection) -> dict[str, str]:
    rows = connection.execute(select(*encryption_key.c["id", "proof"]))
    return {row.id: row.proof for row in rows}


def register(connection: Connection, keys: Keyring) -> None:
    """Register the first of ``keys``, if it is not yet.

    If it is the first of all, what is in the outbox already is in the clear.
    """
    rows = [(keys.first, keys.seal(_PROOF, _place(keys.first)))]
    if not _known(connection) and _has_rows(connection):
        rows.append((CLEAR, ""))
    run_together(connection, _add.statements(connection, rows))


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
