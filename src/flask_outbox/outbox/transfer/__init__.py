"""Moves one outbox into another while both are in use: `TransferRun` and its parts."""

from .move import Left, Move
from .rest import (
    carry_batches,
    carry_feedback,
    carry_lanes,
    carry_stats,
    carry_suppressions,
)
from .rows import Carried
from .run import Following, Step, TransferRun, Waiting

__all__ = [
    "Carried",
    "Following",
    "Left",
    "Move",
    "Step",
    "TransferRun",
    "Waiting",
    "carry_batches",
    "carry_feedback",
    "carry_lanes",
    "carry_stats",
    "carry_suppressions",
]
