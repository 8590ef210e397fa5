"""Events that a provider posts as JSON: one object, or a list of them."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from ..delivery import Reply
from ..errors import EventsRefused
from .fate import Fate, Feedback
from .json_value import JsonValue
from .provider import EventRequest, ProviderEvents, Said
from .status import judged


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a kind of event comes to for the recipient."""

    fate: Fate | None
    """None where it says nothing of what became of the mail."""
    operator: bool = False


NOTHING = Meaning(None)
LATER = Meaning(Fate.DELAYED)
SOFT = Meaning(Fate.SOFT_BOUNCED)
BLOCKED = Meaning(Fate.SOFT_BOUNCED, operator=True)
"""It came back for what the sender is or says: the address may be good."""
DELIVERED = Meaning(Fate.DELIVERED)
OPENED = Meaning(Fate.OPENED)
CLICKED = Meaning(Fate.CLICKED)
HARD = Meaning(Fate.BOUNCED)
LEFT = Meaning(Fate.UNSUBSCRIBED)
COMPLAINT = Meaning(Fate.COMPLAINED)


class JsonEvents(ProviderEvents):
    """Reads each object by itself: those of unknown kinds leave the others alone."""

    kind_field: ClassVar[str]
    """Under this name an event has its kind."""

    def read(self, request: EventRequest) -> Said:
        """What all objects say."""
        feedback: list[Feedback] = []
        unknown: Counter[str] = Counter()
        for event in self.events(request):
            meaning = self.meaning(self.kind(event), event)
            if meaning is None:
                unknown[self.kind(event)] += 1
            elif meaning.fate is not None:
                feedback.append(self.feedback(event, meaning.fate, meaning, request.at))
        return Said(tuple(feedback), unknown)

    def events(self, request: EventRequest) -> Iterable[JsonValue]:
        """The objects in the body. Raises `EventsRefused` if there is none."""
        return objects(request)

    def kind(self, event: JsonValue) -> str:
        """What sort of event it is, in the provider's word."""
        return event[self.kind_field].text

    @abstractmethod
    def meaning(self, kind: str, event: JsonValue) -> Meaning | None:
        """What it comes to; None if that is unknown."""

    @abstractmethod
    def feedback(
        self, event: JsonValue, fate: Fate, meaning: Meaning, now: datetime
    ) -> Feedback:
        """What it says, where it has a meaning."""


def objects(request: EventRequest) -> Iterator[JsonValue]:
    """The object or the list of objects that a body is."""
    body = request.json
    if not isinstance(body.raw, dict | list):
        raise EventsRefused(400, "the body is neither a JSON object nor a list of them")
    return iter(body)


def blocked_if(meaning: Meaning, reply: Reply | None) -> Meaning:
    """The same, or `BLOCKED` where the status of a bounce blames the sender."""
    if meaning not in (SOFT, HARD) or reply is None or reply.enhanced is None:
        return meaning
    judgement = judged(reply, given_up=True)
    return BLOCKED if judgement is not None and judgement.operator else meaning


def detail(**texts: JsonValue | str) -> dict[str, str]:
    """What else is said, without what is empty."""
    some = {
        name: one if isinstance(one, str) else one.text for name, one in texts.items()
    }
    return {name: text for name, text in some.items() if text}
