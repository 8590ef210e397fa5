"""Hand-over: what a view passes to ``send()``, checked and made ready to be kept."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.message import Message as StandardMessage
from typing import Any

from .config import Settings
from .delivery import State
from .errors import MessageError, TemplateError
from .message import AddressLike, Message, check_label
from .message.stored import Stored, store
from .mime import compose
from .outbox.ids import new_id
from .outbox.records import Claim, NewMessage
from .outbox.waiting import USUAL
from .plain_json import WriteJson, plain
from .routing import route

PRIORITIES = range(-1_000, 1_001)
"""Wide enough for every scheme, narrow enough that a typing error shows."""

FURTHEST_SECONDS = 100 * 365.25 * 86_400.0
"""A hundred years: whatever is further away is a mistake."""


@dataclass(frozen=True, slots=True)
class Wishes:
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


def prepare(
    message: Message | StandardMessage,
    wishes: Wishes,
    settings: Settings,
    origin: Mapping[str, Any] | None,
    now: float,
    write: WriteJson = json.dumps,
) -> NewMessage:
    """Check and compose ``message``; `MessageError` for what can never be sent.

    ``write`` writes metadata that is no JSON by itself.
    """
    message_id = new_id()
    due_at, metadata = check_wishes(wishes, now, write)
    lane = route(message, wishes.transport, wishes.tag, settings)
    composed = compose(
        _heading_only(message),
        default_sender=settings.default_sender,
        ascii_attachments=settings.ascii_attachments,
        now=now,
        unique=message_id,
        return_path=wishes.return_path,
    )
    waits = _stored(message, composed.message_id, settings, now)
    return NewMessage(
        id=message_id,
        envelope=composed.envelope,
        message_id=composed.message_id,
        subject=composed.subject or _stand_in(message),
        content=composed.content if waits is None else waits.enclosures,
        template=None if waits is None else waits.text,
        enqueued_at=now,
        due_at=due_at,
        give_up_at=due_at + settings.give_up_after.seconds_for(wishes.tag),
        lane=lane,
        queue=_queue(wishes.tag, settings),
        priority=wishes.priority,
        key=wishes.key,
        tag=wishes.tag,
        metadata=metadata,
        origin=origin,
    )


def _heading_only(message: Message | StandardMessage) -> Message | StandardMessage:
    """What can be checked now: all but bodies that are still to be rendered."""
    if isinstance(message, Message) and message.template is not None:
        return message.filled(None)
    return message


def _stored(
    message: Message | StandardMessage, message_id: str, settings: Settings, now: float
) -> Stored | None:
    """What is kept of a message that is still to be rendered; None for any other."""
    if not isinstance(message, Message) or message.template is None:
        return None
    if message.body is not None or message.html is not None:
        raise TemplateError(
            "it writes body and html when it is rendered, so that nothing else can: "
            "leave them alone, or render='now'.",
            message.template.name,
        )
    return store(message, settings.default_sender, message_id, now)


def _stand_in(message: Message | StandardMessage) -> str:
    """What lists show for a subject that is still to be rendered."""
    if isinstance(message, Message) and message.template is not None:
        return f"({message.template.name}, not yet rendered)"
    return ""


def check_wishes(
    wishes: Wishes, now: float, write: WriteJson = json.dumps
) -> tuple[float, str | None]:
    """When the message is due, and its metadata as JSON, where need be by ``write``.

    Raises `MessageError` for a wish that cannot be granted.
    """
    for field, label in (("key", wishes.key), ("tag", wishes.tag)):
        if label is not None:
            check_label(field, label)
    _check_priority(wishes.priority)
    if wishes.unsubscribe:
        list_of(wishes)
    return _due_at(wishes, now), _as_json(wishes.metadata, write)


def list_of(wishes: Wishes) -> str:
    """The list that whoever gets the message can leave; `MessageError` without one."""
    if wishes.tag is None:
        raise MessageError(
            "unsubscribe", "it needs tag=, the name of the list that one leaves."
        )
    return wishes.tag


def leased(new: NewMessage, owner: str, suppressed: Collection[str]) -> Claim:
    """The claim under which ``owner`` delivers what it has just kept.

    It is for all but the ``suppressed``.
    """
    recipients = new.envelope.recipients
    left = tuple(one for one in recipients if one not in suppressed)
    return Claim(
        id=new.id,
        owner=owner,
        token=1,
        attempt=1,
        crashes=0,
        lane=new.lane,
        envelope=replace(new.envelope, recipients=left) if suppressed else new.envelope,
        content=new.content,
        template=new.template,
        give_up_at=new.give_up_at,
        settled=frozenset({State.SUPPRESSED} if suppressed else ()),
        tag=new.tag,
    )


def _queue(tag: str | None, settings: Settings) -> str:
    """Where it waits: apart, where only so many of its tag may be under way."""
    return tag if tag and tag in settings.tag_concurrency else USUAL


def _due_at(wishes: Wishes, now: float) -> float:
    if wishes.at is not None and wishes.delay is not None:
        raise MessageError("at", "given together with delay: say one of the two.")
    if wishes.at is not None:
        return max(now, _moment(wishes.at, now))
    return now + _delay_seconds(wishes.delay)


def _moment(at: Any, now: float) -> float:
    if not isinstance(at, datetime):
        raise MessageError("at", f"it is {at!r}: pass an aware datetime.")
    if at.utcoffset() is None:
        raise MessageError(
            "at",
            f"{at!r} has no time zone, so nobody can know when that is. Pass an aware "
            "datetime, for example datetime.now(UTC) + timedelta(hours=1).",
        )
    moment = float(at.timestamp())
    if moment > now + FURTHEST_SECONDS:
        raise MessageError("at", f"{at!r} is more than a hundred years away.")
    return moment


def _delay_seconds(delay: Any) -> float:
    if delay is None:
        return 0.0
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    if not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
        raise MessageError("delay", f"{delay!r} is not a number of seconds from 0 up.")
    if seconds > FURTHEST_SECONDS:
        raise MessageError("delay", f"{delay!r} is more than a hundred years.")
    return float(seconds)


def _check_priority(priority: Any) -> None:
    if not isinstance(priority, int) or priority not in PRIORITIES:
        raise MessageError(
            "priority",
            f"{priority!r} is not a whole number from {PRIORITIES[0]} to "
            f"{PRIORITIES[-1]}; higher goes first.",
        )


def _as_json(metadata: Any, write: WriteJson) -> str | None:
    if metadata is None:
        return None
    try:
        kept = plain(metadata, "metadata", write, exactly=False)
        return json.dumps(kept, ensure_ascii=False)
    except ValueError as error:
        raise MessageError(
            "metadata",
            f"it cannot be kept as JSON: {error}. Use dicts, lists, strings, numbers, "
            "booleans and None, or what app.json can write.",
        ) from error
