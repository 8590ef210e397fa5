"""The options of ``send()``: when and how a message should go."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..errors import MessageError
from ..message import AddressLike, check_label
from ..message.plain_json import WriteJson, plain

PRIORITIES = range(-1_000, 1_001)
"""Wide enough for every scheme, narrow enough that a typing error shows."""

FURTHEST_SECONDS = 100 * 365.25 * 86_400.0
"""A hundred years: whatever is further away is a mistake."""


@dataclass(frozen=True, slots=True)
class SendOptions:
    """When and how a message should go: the keyword arguments of ``send()``."""

    at: datetime | None = None
    delay: float | timedelta | None = None
    priority: int = 0
    key: str | None = None
    tag: str | None = None
    metadata: Any = None
    transport: str | None = None
    return_path: AddressLike | None = None
    unsubscribe: bool = False
    sensitive: bool = False


def check_options(
    options: SendOptions, now: float, write: WriteJson = json.dumps
) -> tuple[float, str | None]:
    """When the message is due, and its metadata as JSON, where need be by ``write``.

    Raises `MessageError` for an option that cannot be met.
    """
    if options.key is not None:
        check_label("key", options.key)
    if options.tag is not None:
        check_label("tag", options.tag)
    if options.unsubscribe:
        list_of(options)
    priority: Any = options.priority
    metadata = options.metadata
    if not isinstance(priority, int) or priority not in PRIORITIES:
        raise MessageError(
            "priority",
            f"{priority!r} is not a whole number from {PRIORITIES[0]} to "
            f"{PRIORITIES[-1]}; higher goes first.",
        )
    later = options.at is not None or options.delay is not None
    return (
        _due_at(options, now) if later else now,
        None if metadata is None else _as_json(metadata, write),
    )


def list_of(options: SendOptions) -> str:
    """The list that its recipients can leave; `MessageError` without one."""
    if options.tag is None:
        raise MessageError(
            "unsubscribe", "it needs tag=, the name of the list to unsubscribe from."
        )
    return options.tag


def _due_at(options: SendOptions, now: float) -> float:
    if options.at is None:
        return now + _delay_seconds(options.delay)
    if options.delay is not None:
        raise MessageError("at", "given together with delay: pass only one of them.")
    return max(now, _moment(options.at, now))


def _moment(at: Any, now: float) -> float:
    if not isinstance(at, datetime):
        raise MessageError("at", f"it is {at!r}: pass an aware datetime.")
    if at.utcoffset() is None:
        raise MessageError(
            "at",
            f"{at!r} has no time zone. Pass an aware datetime, for example "
            "datetime.now(UTC) + timedelta(hours=1).",
        )
    moment = float(at.timestamp())
    if moment > now + FURTHEST_SECONDS:
        raise MessageError("at", f"{at!r} is more than a hundred years away.")
    return moment


def _delay_seconds(delay: Any) -> float:
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    if not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
        raise MessageError("delay", f"{delay!r} is not a number of seconds >= 0.")
    if seconds > FURTHEST_SECONDS:
        raise MessageError("delay", f"{delay!r} is more than a hundred years.")
    return float(seconds)


def _as_json(metadata: Any, write: WriteJson) -> str:
    try:
        kept = plain(metadata, "metadata", write, exactly=False)
        return json.dumps(kept, ensure_ascii=False)
    except ValueError as error:
        raise MessageError(
            "metadata",
            f"it cannot be stored as JSON: {error}. Use dicts, lists, strings, "
            "numbers, booleans and None, or what app.json can write.",
        ) from error
