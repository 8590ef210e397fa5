"""Patience: how long a message that is put off is tried again, by its tag. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ANY_OTHER = ""
"""Stands for every tag that is not named, and for messages without one."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How many ``seconds`` a message is tried from when it comes due.

    ``by_tag`` names the tags for which it is another time.
    """

    seconds: float
    by_tag: Mapping[str, float] = field(default_factory=dict, hash=False)

    def seconds_for(self, tag: str | None) -> float:
        """How long a message with this tag, or without any, is tried."""
        return self.by_tag.get(tag or ANY_OTHER, self.seconds)
