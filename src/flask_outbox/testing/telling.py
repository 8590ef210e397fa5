"""Telling: why an assertion about the outbox failed, so that nobody has to debug it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence

from ..errors import TemplateError
from ..words import counted
from .sent import SentMessage
from .wanted import Criterion, nearest

TEXT_LINES = 6
"""So much of a text is shown where no line of it is like what was wanted."""

LISTED = 20
"""So many messages are listed, the latest."""


def listing(messages: Sequence[SentMessage], uncommitted: int) -> str:
    """Each message on a line, and what never came to be one."""
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
    """What was wanted, beside the nearest message where none is so."""
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
    """Which messages should not be there."""
    *most, last = [str(messages.index(one) + 1) for one in fitting]
    which = f"Message {last} was"
    if most:
        which = f"Messages {', '.join(most)} and {last} were"
    such = " and ".join(f"{one.name} {_shown(one)}" for one in wanted)
    return f"{which} sent, and none {f'with {such} ' if such else ''}was wanted."


def _difference(one: Criterion, found: Sequence[str]) -> Iterator[str]:
    texts = _likest(one, found) if one.name == "contains" else list(found)
    if len(texts) == 1 and isinstance(one.wanted, str) and one.name != "contains":
        yield from _marked(one.name, one.wanted, texts[0])
        return
    yield f"  - {one.name:<10} {_shown(one)}"
    yield from (f"  + {'':<10} {text!r}" for text in texts or ["nothing"])


def _marked(name: str, wanted: str, found: str) -> Iterator[str]:
    """Both, with marks below where they differ, as pytest has it."""
    labels = {"-": f"{name:<10}", "+": " " * 10, "?": " " * 10}
    for line in difflib.ndiff([repr(wanted)], [repr(found)]):
        yield f"  {line[0]} {labels.get(line[0], '')} {line[2:]}".rstrip()


def _likest(one: Criterion, found: Sequence[str]) -> list[str]:
    """The line of the texts that is most like the wanted one, or how they begin."""
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
    """Its subject, or why that cannot be rendered."""
    try:
        return repr(message.subject)
    except TemplateError as error:
        return f"({error})"


def _names(recipients: Iterable[str]) -> str:
    names = list(recipients)
    more = [f"and {len(names) - 3} more"] if len(names) > 3 else []
    return ", ".join(names[:3] + more) or "nobody"
