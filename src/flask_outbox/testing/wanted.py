"""Wanted: what a test asks of a message, and whether a message answers to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..message import Address, comparable
from .sent import SentMessage

Text = str | re.Pattern[str]
"""A string, or a compiled pattern that is searched for."""


@dataclass(frozen=True)
class Criterion:
    """One thing that is wanted of a message."""

    name: str
    wanted: Text

    def met_by(self, message: SentMessage) -> bool:
        """Whether the message is so."""
        found = self.found_in(message)
        if isinstance(self.wanted, re.Pattern):
            return any(self.wanted.search(one) for one in found)
        form = _FORMS.get(self.name, str)
        wanted = form(self.wanted)
        if self.name == "contains":
            return any(wanted in form(one) for one in found)
        return wanted in (form(one) for one in found)

    def found_in(self, message: SentMessage) -> Sequence[str]:
        """What the message has there."""
        return _FOUND[self.name](message)


def criteria(wishes: dict[str, Any]) -> list[Criterion]:
    """One criterion for each value that is not None; a list has several.

    Where an address goes, a pair of strings is a name and an address, as in `Message`,
    unless its first is an address too. Raises `AddressError` for an address that is
    none, and `TypeError` for what is neither a string nor a pattern.
    """
    wanted = []
    for name, value in wishes.items():
        one = name in _ADDRESSES and _is_pair(value)
        several = isinstance(value, list | tuple) and not one
        values = value if several else [value]
        wanted += [_criterion(name, one) for one in values if one is not None]
    return wanted


def fitting_of(
    messages: Sequence[SentMessage], wanted: Sequence[Criterion]
) -> list[SentMessage]:
    """The messages that go to somebody and answer to all of it."""
    return [
        message
        for message in messages
        if message.recipients and all(one.met_by(message) for one in wanted)
    ]


def nearest(
    messages: Sequence[SentMessage], wanted: Sequence[Criterion]
) -> SentMessage | None:
    """The message that goes to somebody and answers to the most, the latest of several.

    None where no message goes to anybody.
    """
    going = [message for message in messages if message.recipients]

    def met(message: SentMessage) -> int:
        return sum(one.met_by(message) for one in wanted)

    return max(reversed(going), key=met, default=None)


def _criterion(name: str, value: Any) -> Criterion:
    if name in _ADDRESSES and (isinstance(value, str | Address) or _is_pair(value)):
        value = Address.parse(value, name).spec
    if not isinstance(value, str | re.Pattern):
        raise TypeError(
            f"{name}={value!r}: pass a string, a compiled pattern, or a list of those."
        )
    return Criterion(name, value)


def _is_pair(value: object) -> bool:
    """Whether it is a name and an address, rather than two addresses."""
    match value:
        case (str(name), str()) if isinstance(value, tuple):
            return "@" not in name
    return False


def _address_of(header: str) -> Sequence[str]:
    return [header.rpartition("<")[2].rstrip(">")]


_ADDRESSES = ("to", "sender")

_FOUND: dict[str, Callable[[SentMessage], Sequence[str]]] = {
    "to": lambda message: message.recipients,
    "sender": lambda message: _address_of(message.sender),
    "subject": lambda message: [message.subject],
    "contains": lambda message: [message.text, message.visible, *message.links],
    "attachment": lambda message: [one.filename for one in message.attachments],
    "tag": lambda message: [message.tag] if message.tag else [],
}


def _in_one_line(text: str) -> str:
    return " ".join(text.split())


_FORMS: dict[str, Callable[[str], str]] = {
    "to": comparable,
    "sender": comparable,
    "contains": _in_one_line,
}
"""In which form texts are compared, where that is not as they are."""
