"""Sensitive messages: nobody is shown their content, and it is removed at their end.

Each of them has its attachments in its own row, shared with no other message. So what
removes the row removes all of its content.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    select,
)

from ..delivery import State
from ..errors import SensitiveContent
from .records import Sensitivity
from .schema import ZERO, content, message

_HIDDEN_VALUE: ColumnElement[int] = literal_column(str(Sensitivity.HIDDEN.value))
_HIDDEN = message.c.sensitive == _HIDDEN_VALUE

IS_SHOWN = func.coalesce(message.c.sensitive, ZERO) != _HIDDEN_VALUE
"""The condition that people may see a message's content."""

_REMOVE = delete(content).where(
    content.c.message_id.in_(bindparam("ids", expanding=True)),
    exists().where(message.c.id == content.c.message_id, _HIDDEN),
)


def is_over(state: State) -> bool:
    """Whether a message in ``state`` is sent no more; *unknown* ones may be."""
    return state.final and state is not State.UNKNOWN


def remove_contents(connection: Connection, ids: Collection[str]) -> None:
    """Remove the contents of those of these messages that are hidden."""
    if ids:
        connection.execute(_REMOVE, {"ids": list(ids)})


def is_hidden(connection: Connection, message_id: str) -> bool:
    """Whether nobody may see the message's content."""
    hidden = select(message.c.id).where(message.c.id == message_id, _HIDDEN)
    return connection.scalar(hidden) is not None


def refuse_hidden(connection: Connection, message_id: str) -> None:
    """Raise `SensitiveContent` for a message whose content is hidden."""
    hidden = select(message.c.state).where(message.c.id == message_id, _HIDDEN)
    state = connection.scalar(hidden)
    if state is None:
        return
    when = "is removed once it is sent or given up"
    if is_over(State(state)):
        when = f"was removed when it became {state}"
    raise SensitiveContent(
        f"Message {message_id} was sent with sensitive=True: its content is shown to "
        f"nobody, and {when}."
    )
