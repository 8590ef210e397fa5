"""Claiming: what is due on a lane, taken in hand by one courier."""

from __future__ import annotations

from dataclasses import replace

from ..lane import Lane
from ..outbox.records import Claim
from ..outbox.store import Outbox
from .holding import Holding


def claim_and_hold(
    outbox: Outbox, holding: Holding, courier: str, name: str, lane: Lane, wanted: int
) -> list[Claim]:
    """Claim for ``wanted`` reserved places of the lane ``name``, to leave by ``lane``.

    The places are filled, or free again, when this returns or raises.
    """
    claims: list[Claim] = []
    try:
        claims = _within_limits(outbox, courier, name, lane, wanted)
    finally:
        holding.fill(name, wanted, [held.id for held in claims])
    if lane.name == name:
        return claims
    return [replace(held, lane=lane.name, instead_of=name) for held in claims]


def _within_limits(
    outbox: Outbox, courier: str, name: str, lane: Lane, wanted: int
) -> list[Claim]:
    if not lane.limits:
        return outbox.claim(courier, name, wanted)
    claims, lane.allowed_at = outbox.claim_within(
        courier, name, wanted, lane.name, lane.limits
    )
    return claims
