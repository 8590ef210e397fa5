"""Answers: what was last said of each recipient."""

from __future__ import annotations

from sqlalchemy import bindparam, update

from ..delivery import Reply, State
from .hot import Hot, Row
from .schema import recipient

answer = Hot(
    update(recipient)
    .where(
        recipient.c.message_id == bindparam("b_id"),
        recipient.c.address == bindparam("b_address"),
    )
    .values(
        state=bindparam("b_state"),
        reply_code=bindparam("b_code"),
        reply_enhanced=bindparam("b_enhanced"),
        reply_text=bindparam("b_text"),
        replied_at=bindparam("b_at"),
    )
)
"""Writes down the state and the last reply of one recipient."""


def answer_row(
    message_id: str, address: str, state: State, reply: Reply, at: float
) -> Row:
    """One recipient's answer, ready to be written down."""
    return {
        "b_id": message_id,
        "b_address": address,
        "b_state": state.value,
        "b_code": reply.code,
        "b_enhanced": reply.enhanced,
        "b_text": reply.text,
        "b_at": at,
    }
