"""A recipient's fate: the furthest that anyone has reported of the mail to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from ..delivery import Reply
from ..phrases import Phrase, phrase


class Fate(StrEnum):
    """What became of the mail to one recipient after the next hop took it.

    They are in order: a later one replaces an earlier one, and never the other way
    round, in whatever order they are reported.
    """

    DELAYED = "delayed"
    """A server after the next hop has not accepted it yet, and tries again."""
    SOFT_BOUNCED = "soft_bounced"
    """It came back for a temporary reason, such as a full mailbox."""
    DELIVERED = "delivered"
    """The recipient's server accepted it."""
    OPENED = "opened"
    """Somebody or something fetched its pictures."""
    CLICKED = "clicked"
    """Somebody or something followed a link in it."""
    BOUNCED = "bounced"
    """It came back for good: the address does not work, or (`Feedback.operator`) the
    sender's set-up is at fault."""
    UNSUBSCRIBED = "unsubscribed"
    """The recipient wants no more of this list."""
    COMPLAINED = "complained"
    """The recipient called it spam."""

    @property
    def words(self) -> str:
        """It as people write it: ``soft bounced``."""
        return self.value.replace("_", " ")

    @property
    def is_trouble(self) -> bool:
        """Whether the recipient did not get the mail, or did not want it."""
        return self in _TROUBLE

    @property
    def rank(self) -> int:
        """Its place in that order, from 0."""
        return _RANKS[self]


_TROUBLE = frozenset({Fate.SOFT_BOUNCED, Fate.BOUNCED, Fate.COMPLAINED})
_RANKS = {fate: rank for rank, fate in enumerate(Fate)}


_Number = TypeVar("_Number")


def in_order(counts: Mapping[Fate, _Number]) -> dict[Fate, _Number]:
    """What is counted by fate, in the order of fates."""
    return {fate: counts[fate] for fate in Fate if fate in counts}


def furthest(fates: Iterable[Fate | None]) -> Fate | None:
    """The last of these in the order of fates; None if nothing is reported."""
    return max(filter(None, fates), key=lambda fate: fate.rank, default=None)


_BY_MAIL = {
    "report": phrase("as a report says that came by mail"),
    "complaint": phrase("as a complaint says that came by mail"),
}
"""How to name the sources that are no providers."""


def as_reported(source: str) -> Phrase:
    """Who reports something, in words: ``as postmark reports``."""
    return _BY_MAIL.get(source) or phrase("as %(source)s reports", source=source)


@dataclass(frozen=True, slots=True)
class Feedback:
    """A report about one message and one recipient.

    ``source`` and ``event_id`` are the same whenever the same report is repeated, and
    differ for any other. The message is found by the outbox's own id, or by the id that
    the provider gave it, or by its Message-ID header, whichever is there.
    """

    fate: Fate
    source: str
    """Who reported it: a transport's scheme, such as ``postmark``; ``report`` or
    ``complaint`` for mail that came back."""
    event_id: str
    at: datetime
    address: str | None = None
    """The recipient; None if the report names only the message."""
    message_id: str | None = None
    provider_id: str | None = None
    rfc_message_id: str | None = None
    reply: Reply | None = None
    """The words of the recipient's server, or of the provider."""
    operator: bool = False
    """Whether the sender's own set-up is at fault (RFC 3463 X.3.x, X.7.x): the operator
    is told, and the address is not suppressed for it."""
    detail: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What else the report says, as plain JSON: ``url``, ``user_agent``, ``list``."""
