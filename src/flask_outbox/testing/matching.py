"""The criteria of an assertion, which messages meet them, and texts for failures."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import TemplateError
from ..humanize import counted
from ..message import Address, comparable
from .mail import SentMessage

Text = str | re.Pattern[str]
"""A string, or a compiled pattern that is searched for."""


@dataclass(frozen=True)
class Criterion:
    """One criterion that a message must meet."""

    name: str
    wanted: Text

    def met_by(self, message: SentMessage) -> bool:
        """Whether the message meets it."""
        found = self.found_in(message)
        if isinstance(self.wanted, re.Pattern):
            return any(self.wanted.search(one) for one in found)
        form = _FORMS.get(self.name, str)
        wanted = form(self.wanted)
        if self.name == "contains":
            return any(wanted in form(one) for one in found)
        return wanted in (form(one) for one in found)

    def found_in(self, message: SentMessage) -> Sequence[str]:
        """The message's values that it is compared with."""
        return _FOUND[self.name](message)


def criteria(arguments: dict[str, Any]) -> list[Criterion]:
    """Make a criterion of each value that is not None; a list makes several.

    For an address, a pair of strings is a name and an address, as in `Message`, unless
    the first is an address too. Raises `AddressError` for an invalid address, and
    `TypeError` for what is neither a string nor a pattern.
    """
    wanted = []
    for name, value in arguments.items():
        one = name in _ADDRESSES and _is_pair(value)
        several = isinstance(value, list | tuple) and not one
        values = value if several else [value]
        wanted += [_criterion(name, one) for one in values if one is not None]
    return wanted


def fitting_of(
    messages: Sequence[SentMessage], wanted: Sequence[Criterion]
) -> list[SentMessage]:
    """The messages that go to anyone and meet all criteria."""
    return [
        message
        for message in messages
        if message.recipients and all(one.met_by(message) for one in wanted)
    ]


def nearest(
    messages: Sequence[SentMessage], wanted: Sequence[Criterion]
) -> SentMessage | None:
    """The message that goes to anyone and meets the most criteria, the latest of
    several.

    None if no message goes to anyone.
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
    """Whether it is a name and an address rather than two addresses."""
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
"""How texts are normalized before they are compared."""


TEXT_LINES = 6
"""How many lines of a text are shown if none resembles what was wanted."""

LISTED = 20
"""How many messages are listed, the latest ones."""


def listing(messages: Sequence[SentMessage], uncommitted: int) -> str:
    """List the messages, one a line, and count those that were not committed."""
    left_out = len(messages) - LISTED
    lines = ["In the outbox:"]
    if left_out > 0:
        lines.append(f"  … {counted(left_out, 'earlier message')}")
    lines += [
        f"  {number}  {_line(message)}"
        for number, message in list(enumerate(messages, 1))[-LISTED:]
    ]
    if not messages:
        lines.append("  nothing")
    if uncommitted:
        lines.append(
            f"  and {counted(uncommitted, 'message')} handed over in a transaction "
            "(session=) that was rolled back, or is not committed yet"
        )
    return "\n".join(lines)


def why_not_sent(
    messages: Sequence[SentMessage],
    wanted: Sequence[Criterion],
    fitting: int,
    count: int | None,
) -> str:
    """Say what was wanted, compared with the nearest message if there is none."""
    such = " with what was wanted" if wanted else ""
    if fitting:
        head = f"{counted(fitting, 'message')} sent{such}, not {count}"
    else:
        head = f"No message was sent{such}"
    if not wanted:
        return f"{head}."
    lines = [f"{head}:", ""]
    closest = None if fitting else nearest(messages, wanted)
    for one in wanted:
        if closest is None or one.met_by(closest):
            lines.append(f"    {one.name:<10} {_shown(one)}")
        else:
            lines += _difference(one, one.found_in(closest))
    if closest is not None:
        number = list(messages).index(closest) + 1
        lines += ["", f"(- wanted, + what message {number}, the nearest, has instead)"]
    return "\n".join(lines)


def why_not_nothing(
    messages: Sequence[SentMessage],
    fitting: Sequence[SentMessage],
    wanted: Sequence[Criterion],
) -> str:
    """Say which messages should not have been sent."""
    *most, last = [str(messages.index(one) + 1) for one in fitting]
    which = f"Message {last} was"
    if most:
        which = f"Messages {', '.join(most)} and {last} were"
    such = " and ".join(f"{one.name} {_shown(one)}" for one in wanted)
    return f"{which} sent, and none {f'with {such} ' if such else ''}was wanted."


def _difference(one: Criterion, found: Sequence[str]) -> Iterator[str]:
    texts = _most_similar(one, found) if one.name == "contains" else list(found)
    if len(texts) == 1 and isinstance(one.wanted, str) and one.name != "contains":
        yield from _marked(one.name, one.wanted, texts[0])
        return
    yield f"  - {one.name:<10} {_shown(one)}"
    yield from (f"  + {'':<10} {text!r}" for text in texts or ["nothing"])


def _marked(name: str, wanted: str, found: str) -> Iterator[str]:
    """Both texts with marks below where they differ, as pytest shows them."""
    labels = {"-": f"{name:<10}", "+": " " * 10, "?": " " * 10}
    for line in difflib.ndiff([repr(wanted)], [repr(found)]):
        yield f"  {line[0]} {labels.get(line[0], '')} {line[2:]}".rstrip()


def _most_similar(one: Criterion, found: Sequence[str]) -> list[str]:
    """The line most like the wanted one, or the first lines."""
    lines = [line for text in found for line in text.splitlines() if line.strip()]
    lines = list(dict.fromkeys(lines))
    wanted = one.wanted if isinstance(one.wanted, str) else one.wanted.pattern
    return (
        difflib.get_close_matches(wanted, lines, n=1, cutoff=0.4) or lines[:TEXT_LINES]
    )


def _shown(one: Criterion) -> str:
    if isinstance(one.wanted, re.Pattern):
        return f"/{one.wanted.pattern}/"
    return repr(one.wanted)


def _line(message: SentMessage) -> str:
    parts = [f"{_subject(message)} to {_names(message.recipients)}", message.state]
    if message.tag:
        parts.append(f"tag {message.tag}")
    if message.record is None:
        parts.append("by send_now")
    parts += [f"not to {who}: {why}" for who, why in message.kept_from.items()]
    return ", ".join(parts)


def _subject(message: SentMessage) -> str:
    """Its subject, or why it cannot be rendered."""
    try:
        return repr(message.subject)
    except TemplateError as error:
        return f"({error})"


def _names(recipients: Iterable[str]) -> str:
    names = list(recipients)
    more = [f"and {len(names) - 3} more"] if len(names) > 3 else []
    return ", ".join(names[:3] + more) or "nobody"
