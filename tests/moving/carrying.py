"""Helpers that fill an outbox and move it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask_outbox.delivery import State
from flask_outbox.outbox import MessageActions, Outbox
from flask_outbox.outbox.transfer import Carried, Move
from tests.outbox.making import (
    ADA,
    BOB,
    CY,
    KEPT,
    LATER,
    NEVER,
    claim_one,
    deferred,
    ended,
    enlist,
    failed,
    put,
    sent,
    unknown,
)

HOUR = 3_600.0


def carry_all(move: Move) -> Carried:
    """Move everything, and end the move."""
    carried = Carried()
    while step := move.carry():
        carried += step
    move.end()
    return carried


def ids_in(outbox: Outbox) -> set[str]:
    """All messages."""
    return {one.id for one in outbox.list(limit=1_000)}


def fill(outbox: Outbox) -> dict[str, str]:
    """Enqueue a message of each kind; returns kind → id."""
    now = outbox.clock()
    enlist(outbox)
    kinds = {name: _make(outbox, make) for name, make in _MAKERS.items()}
    kinds["scheduled"] = put(
        outbox,
        due_at=now + HOUR,
        priority=7,
        content=b"",
        template='{"template":"bill","context":{"für":"Ada"},"locale":null}',
    )
    kinds["waiting"] = put(
        outbox,
        ADA,
        BOB,
        key="order-1",
        tag="orders",
        lane="bulk",
        queue="orders",
        metadata='{"order":1,"für":"Ada"}',
        subject="Grüße 🐦",
        content=bytes(range(256)) * 10,
        origin={"method": "POST", "route": "/order", "request_id": "r-1"},
    )
    kinds["cancelled"] = put(outbox, key="order-2")
    outbox.act(MessageActions.cancel, kinds["cancelled"])
    return kinds


Make = Callable[[Outbox], Any]


def _make(outbox: Outbox, make: Make) -> str:
    """Enqueue a message to three recipients, and record a first attempt."""
    message_id = put(outbox, ADA, BOB, CY)
    outbox.record([make(outbox)])
    return message_id


def _partly(outbox: Outbox) -> Any:
    now = outbox.clock()
    answers = {
        ADA: (State.SENT, KEPT),
        BOB: (State.FAILED, NEVER),
        CY: (State.PENDING, LATER),
    }
    held = claim_one(outbox)
    return ended(held, now, State.PENDING, answers, due_at=now + HOUR)


_MAKERS: dict[str, Make] = {
    "sent": lambda outbox: sent(claim_one(outbox), outbox.clock()),
    "failed": lambda outbox: failed(claim_one(outbox), outbox.clock()),
    "deferred": lambda outbox: deferred(
        claim_one(outbox), outbox.clock(), outbox.clock() + HOUR
    ),
    "unknown": lambda outbox: unknown(
        claim_one(outbox), outbox.clock(), outbox.clock() + HOUR
    ),
    "partly sent": _partly,
}
