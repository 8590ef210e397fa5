"""Load: how much a claim may weigh, since what is claimed is held in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select

from .schema import message


@dataclass(slots=True)
class Load:
    """How much there is room for; and, once a claim was made, what was too heavy."""

    room_bytes: int
    alone: bool
    """Whether the first message may be of any size, as nothing else is in hand."""
    left_bytes: int = 0
    """The size of the first message that was left for want of room; 0 for none."""


_SIZES = select(*message.c["id", "size_bytes"]).where(
    message.c.id.in_(bindparam("ids", expanding=True))
)


def that_fit(connection: Connection, ids: Sequence[str], load: Load) -> Sequence[str]:
    """The first of ``ids`` as far as there is room; none overtakes a heavy one."""
    sizes = {row.id: row.size_bytes for row in connection.execute(_SIZES, {"ids": ids})}
    room_bytes = load.room_bytes
    for place, one in enumerate(ids):
        room_bytes -= sizes[one]
        if room_bytes < 0 and not (load.alone and place == 0):
            load.left_bytes = sizes[one]
            return ids[:place]
    return ids
