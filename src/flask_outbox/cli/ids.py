"""Ids as people give them: in any case, and no longer than they need to be."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..errors import BatchNotFound, MessageNotFound
from ..many import Batches
from ..outbox.ids import HIGHEST, ID_LENGTH
from ..outbox.store import Outbox


def full_id(outbox: Outbox, given: str) -> str:
    """The message's id that ``given`` is, or the only one that begins with it.

    Raises `MessageNotFound` where there is none, and where there are several.
    """

    def newest(before: str) -> list[str]:
        return [one.id for one in outbox.list(limit=2, before=before)]

    return _full(given, newest, "message", "list", MessageNotFound)


def full_batch_id(batches: Batches, given: str) -> str:
    """The same for the id of a batch. Raises `BatchNotFound`."""

    def newest(before: str) -> list[str]:
        return [one.id for one in batches.ledger.newest(2, before)]

    return _full(given, newest, "batch", "batch list", BatchNotFound)


def _full(
    given: str,
    newest: Callable[[str], Iterable[str]],
    noun: str,
    command: str,
    error: type[MessageNotFound | BatchNotFound],
) -> str:
    beginning = given.upper()
    if len(beginning) >= ID_LENGTH:
        return beginning
    before = beginning.ljust(ID_LENGTH, HIGHEST)
    found = [one for one in newest(before) if one.startswith(beginning)]
    if not found:
        raise error(
            f"No {noun} has an id that begins with {given!r}. 'flask outbox {command}' "
            "shows them."
        )
    if len(found) > 1:
        raise error(
            f"More than one {noun} has an id that begins with {given!r}, among them "
            f"{' and '.join(found)}: give more of it."
        )
    return found[0]
