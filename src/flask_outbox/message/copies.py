"""Copies of what a person composed, and what became different in one."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from email.message import Message as StandardMessage
from typing import Any

from .attachment import Attachment
from .message import Message

_NOTHING = object()


def copied(message: Message | StandardMessage) -> Message | StandardMessage:
    """A message of its own with the same words: changing it leaves ``message`` alone.

    Texts and files are shared, so that this costs little however large they are.
    """
    if isinstance(message, StandardMessage):
        return copy.deepcopy(message)
    new = copy.copy(message)
    vars(new).update({name: _own(value) for name, value in vars(message).items()})
    return new


def fields_of(message: Message | StandardMessage) -> dict[str, Any]:
    """What ``message`` says at this moment, by what a person calls it."""
    if isinstance(message, StandardMessage):
        return _standard_fields(message)
    return dict(_fields(message))


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the fields that are not what they were."""
    names = dict.fromkeys([*before, *after])
    return tuple(
        name
        for name in names
        if before.get(name, _NOTHING) != after.get(name, _NOTHING)
    )


def _own(value: Any) -> Any:
    if isinstance(value, list):
        return [copy.copy(one) if isinstance(one, Attachment) else one for one in value]
    return dict(value) if isinstance(value, dict) else value


def _fields(message: Message) -> Iterator[tuple[str, Any]]:
    for name, value in vars(message).items():
        if name in ("alts", "extra_headers"):
            yield from value.items()
        elif name == "attachments":
            yield name, [dict(vars(one)) for one in value]
        elif not name.startswith("_"):
            yield name, _own(value)


def _standard_fields(message: StandardMessage) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    for name, value in message.items():
        headers.setdefault(name, []).append(str(value))
    parts = [
        (number, part.items() if number else None, _payload(part))
        for number, part in enumerate(message.walk())
    ]
    return {**headers, "content": parts}


def _payload(part: StandardMessage) -> object:
    return None if part.is_multipart() else part.get_payload()
