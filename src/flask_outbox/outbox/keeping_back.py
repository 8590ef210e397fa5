"""Keeping back: a message that is claimed does not go to whom must not be mailed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, bindparam, null, update

from ..delivery import Reply, State, state_of
from ..guard import Guard
from . import suppressions
from .answers import answer, answer_row
from .enqueue import add_events, suppressed_row
from .hot import Hot
from .records import Claim
from .schema import ZERO, message
from .suppressions import Found


def keep_back(
    connection: Connection, claims: Sequence[Claim], now: float, guard: Guard
) -> list[Claim]:
    """The claims without the recipients who must not be mailed at this moment.

    Those are written down as suppressed. A message that has nobody else is settled, and
    its claim has no recipients.
    """
    everyone = (one for held in claims for one in held.envelope.recipients)
    found = suppressions.find(connection, everyone)
    return [_keep_back(connection, held, found, now, guard) for held in claims]


def _keep_back(
    connection: Connection, held: Claim, found: Found, now: float, guard: Guard
) -> Claim:
    recipients = held.envelope.recipients
    barred = suppressions.barred(found, recipients, held.tag, guard)
    if not barred:
        return held
    left = tuple(one for one in recipients if one not in barred)
    settled = held.settled | {State.SUPPRESSED}
    _write(connection, held.id, barred, now, finished=not left)
    if not left:
        _settle.run(
            connection,
            {"b_id": held.id, "b_state": state_of(settled).value, "b_at": now},
        )
    return replace(
        held,
        envelope=replace(held.envelope, recipients=left),
        settled=settled,
        suppressed={address: str(reply) for address, reply in barred.items()},
    )


def _write(
    connection: Connection,
    message_id: str,
    barred: dict[str, Reply],
    now: float,
    *,
    finished: bool,
) -> None:
    answer.run_many(
        connection,
        [
            answer_row(message_id, address, State.SUPPRESSED, reply, now)
            for address, reply in barred.items()
        ],
    )
    add_events.run(connection, suppressed_row(message_id, now, barred, finished))


_settle = Hot(
    update(message)
    .where(message.c.id == bindparam("b_id"))
    .values(
        state=bindparam("b_state"),
        finished_at=bindparam("b_at"),
        lease_owner=null(),
        begun=ZERO,
    )
)
