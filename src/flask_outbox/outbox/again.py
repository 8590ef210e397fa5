"""Again: a message that is done is sent once more, as a new message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.engine import Row

from ..errors import TransitionRefused
from ..guard import Guard
from ..message import stored
from ..mime import renewed
from ..patience import Patience
from .attachments import kept_of
from .doorbell import MAIL, ring
from .enqueue import add_events, enqueue, event_row
from .ids import new_id
from .leases import envelope
from .people import locked
from .records import NewMessage, Receipt
from .schema import content, message, recipient


def send_again(
    connection: Connection,
    message_id: str,
    now: float,
    patience: Patience,
    origin: Mapping[str, Any] | None,
    guard: Guard,
    by: str | None = None,
    to: Sequence[str] | None = None,
) -> Receipt:
    """Enqueue the same content for the same recipients; both stories tell of it.

    With ``by`` it leaves by that lane, with ``to`` it goes to these addresses.
    """
    _refuse_unless_done(connection, message_id)
    kept = _kept(connection, message_id)
    unique = new_id()
    message_id_header = f"<{unique}@{_domain(kept.message_id)}>"
    said, template = _said(connection, kept, message_id_header, now)
    new = NewMessage(
        id=unique,
        envelope=envelope(kept, to or _everyone(connection, message_id)),
        message_id=message_id_header,
        subject=kept.subject,
        content=said,
        enqueued_at=now,
        due_at=now,
        give_up_at=now + patience.seconds_for(kept.tag),
        lane=by or kept.lane,
        queue=kept.queue,
        priority=kept.priority,
        tag=kept.tag,
        metadata=kept.metadata,
        origin=origin,
        again_of=message_id,
        template=template,
    )
    (receipt,) = enqueue(connection, [new], None, guard)
    detail = {"again_as": receipt.id, **({"by": by} if by else {})}
    add_events.run(connection, event_row(message_id, now, "sent_again", **detail))
    ring(connection, MAIL)
    return receipt


def _refuse_unless_done(connection: Connection, message_id: str) -> None:
    state = locked(connection, message_id)
    if not state.final:
        raise TransitionRefused(
            f"Message {message_id} is {state}: only what is done can be sent again."
        )


def _domain(message_id: str) -> str:
    return message_id.strip("<>").rpartition("@")[2]


def _said(
    connection: Connection, kept: Row[Any], message_id: str, now: float
) -> tuple[bytes, str | None]:
    """The same content, or the same template for it, with an identity of its own."""
    said = kept_of(connection, kept.id)
    assert said is not None  # it is locked
    if said.template is not None:
        return said.body, stored.renewed(said.template, message_id, now)
    return renewed(said.body, message_id, now), None


def _kept(connection: Connection, message_id: str) -> Row[Any]:
    kept = connection.execute(
        select(
            *message.c["id", "message_id", "return_path", "subject"],
            *message.c["lane", "queue", "priority", "tag"],
            *content.c["envelope", "metadata"],
        )
        .join(content, content.c.message_id == message.c.id)
        .where(message.c.id == message_id)
    ).first()
    if kept is None:
        raise TransitionRefused(
            f"Message {message_id} cannot be sent again: its content was pruned "
            "(OUTBOX_KEEP_BODIES)."
        )
    return kept


def _everyone(connection: Connection, message_id: str) -> Sequence[str]:
    return connection.scalars(
        select(recipient.c.address)
        .where(recipient.c.message_id == message_id)
        .order_by(recipient.c.position)
    ).all()
