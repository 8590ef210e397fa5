"""Ids as people give them: in any case, and no longer than they need to be."""

from __future__ import annotations

from ..errors import MessageNotFound
from ..outbox.ids import HIGHEST, ID_LENGTH
from ..outbox.store import Outbox


def full_id(outbox: Outbox, given: str) -> str:
    """The id that ``given`` is, or the only one that begins with it.

    Raises `MessageNotFound` where there is none, and where there are several.
    """
    beginning = given.upper()
    if len(beginning) >= ID_LENGTH:
        return beginning
    newest = outbox.list(limit=2, before=beginning.ljust(ID_LENGTH, HIGHEST))
    found = [one.id for one in newest if one.id.startswith(beginning)]
    if not found:
        raise MessageNotFound(
            f"No message has an id that begins with {given!r}. 'flask outbox list' "
            "shows them."
        )
    if len(found) > 1:
        raise MessageNotFound(
            f"Several messages have an id that begins with {given!r}, among them "
            f"{' and '.join(found)}: give more of it."
        )
    return found[0]
