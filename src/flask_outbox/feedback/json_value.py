"""Reading JSON that others wrote: nothing in it can be relied upon."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parseaddr
from typing import Any

from ..delivery import Reply, storable

LONGEST_TEXT = 500
"""Longer texts are cut, in characters."""

LONGEST_ADDRESS = 320

_OUTBOX_ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
_GIVEN_ID = re.compile(r"[!-~]{1,100}")
_SMTP_REPLY = re.compile(r"(?:smtp\s*;\s*)?([245]\d\d)(?:[\s-]+(.*))?", re.I | re.S)
_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_MILLISECONDS = 1e11
"""Unix times above it are in milliseconds."""
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


def parse(body: bytes | str) -> JsonValue:
    """The value that ``body`` is. Raises `ValueError`."""
    try:
        return JsonValue(json.loads(body, parse_constant=_refuse))
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class JsonValue:
    """A value whose parts can be asked for whatever it is: those that are not there are
    empty.
    """

    __slots__ = ("raw",)

    def __init__(self, raw: Any) -> None:
        self.raw: Any = raw

    def __getitem__(self, name: str) -> JsonValue:
        return JsonValue(self.raw.get(name) if isinstance(self.raw, dict) else None)

    def __iter__(self) -> Iterator[JsonValue]:
        """The items of a list, or the value itself if it is something else."""
        if isinstance(self.raw, list):
            return (JsonValue(one) for one in self.raw)
        return iter(() if self.raw is None else (self,))

    @property
    def only(self) -> JsonValue:
        """The one item of a list, or the value itself if it is no list."""
        found = list(self)
        return found[0] if len(found) == 1 else JsonValue(None)

    @property
    def is_true(self) -> bool:
        """Whether it is true, or a word for that."""
        return self.text.lower() in ("true", "1")

    @property
    def text(self) -> str:
        """A string or a number as text that can be stored; "" for everything else."""
        if not isinstance(self.raw, str | int | float):
            return ""
        text = str(self.raw).strip()
        return storable(text[:LONGEST_TEXT])

    @property
    def words(self) -> str:
        """Its text, as in ``mailbox full``: in lower case, without underscores."""
        return self.text.lower().replace("_", " ")

    @property
    def address(self) -> str | None:
        """The address that it is, or that it names."""
        address = parseaddr(self.text)[1]
        is_one = "@" in address and len(address) <= LONGEST_ADDRESS
        return address if is_one and address.isprintable() else None

    @property
    def outbox_id(self) -> str | None:
        """The id of a message in an outbox."""
        return self.text if _OUTBOX_ID.fullmatch(self.text) else None

    @property
    def id(self) -> str | None:
        """An id of the provider's, without angle brackets; None if it is none."""
        return self.text.strip("<>") or None

    @property
    def rfc_message_id(self) -> str | None:
        """A Message-ID as it stands in a header."""
        return f"<{self.id}>" if self.id and "@" in self.id else None

    def time(self, now: datetime) -> datetime:
        """A time in ISO 8601 or since the epoch; ``now`` if it is neither, or later."""
        found = self.time_or_none()
        return min(found, now) if found is not None and found > _EARLIEST else now

    def time_or_none(self) -> datetime | None:
        """A time in ISO 8601 or since the epoch."""
        try:
            return _time_of(self.text)
        except (ValueError, OverflowError, OSError):
            return None

    def reply(self, code: JsonValue | None = None) -> Reply | None:
        """The reply that it quotes, perhaps with its ``code`` elsewhere; None if it is
        empty.
        """
        text = self.text
        found = _SMTP_REPLY.fullmatch(text)
        if found:
            return Reply.parse(int(found[1]), found[2] or "")
        number = code.text if code is not None else ""
        if re.fullmatch(r"[245]\d\d", number):
            return Reply.parse(int(number), text)
        return Reply.observed(text) if text else None


def first(*values: JsonValue) -> JsonValue:
    """The first that has a text, or the last."""
    return next((one for one in values if one.text), values[-1])


def enhanced(reply: Reply | None, status: JsonValue) -> Reply | None:
    """The reply with the enhanced status code that stands beside it."""
    if not _ENHANCED.fullmatch(status.text):
        return reply
    if reply is None:
        return Reply(None, status.text, "")
    return Reply(reply.code, reply.enhanced or status.text, reply.text)


def _time_of(text: str) -> datetime:
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        seconds = float(text)
        if seconds > _MILLISECONDS:
            seconds /= 1_000
        return datetime.fromtimestamp(seconds, UTC)
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        return found.replace(tzinfo=UTC)
    return found.astimezone(UTC)


def event_id(given: str | None, *others: object) -> str:
    """The id that the provider gave an event, or else a hash of what makes it one."""
    if given and _GIVEN_ID.fullmatch(given):
        return given
    whole = json.dumps([given, *others], default=str, sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()[:32]
