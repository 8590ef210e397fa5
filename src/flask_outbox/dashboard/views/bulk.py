"""What is done to all messages that match a search, some at a time.

Nothing is kept on the server: the form on each page says how far it is, and the browser
sends it on. So a request has little to do, and whoever closes the page stops.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from flask import abort, request

from ...actions import ACTIONS, Action
from ...delivery import State
from ...outbox import id_at
from ...outbox.records import Search
from ...phrases import phrase
from ..filters import LABELS, Filters, cursor, read_filters
from ..pages import actor, dashboard, needs, page, runtime
from ..roles import Role

USUAL: Mapping[str, State] = {
    "retry": State.FAILED,
    "cancel": State.PENDING,
    "release": State.UNKNOWN,
    "drop": State.UNKNOWN,
}
"""The actions on a whole search, and the messages that each is meant for, unless the
search itself says in which state they are."""

AT_ONCE = 50
"""The most messages of one transaction."""

REQUEST_SECONDS = 1.0
"""When a request goes on to the next."""

EXAMPLES = 5

REASONS = 20
"""The most refusals of one request that are shown."""


@dataclass(frozen=True, slots=True)
class BulkAct:
    """An action on all that match."""

    name: str
    action: Action
    filters: Filters
    wanted: Search | None
    """The messages that it is for; None if it is for none in the chosen state."""
    asked_at: datetime
    """Only messages from before this time are changed."""


@dataclass(slots=True)
class Progress:
    """How far a bulk act is."""

    total: int
    done: int = 0
    refused: int = 0
    before: str | None = None
    """Where it goes on; None once it is at its end."""


@dashboard.get("/act/all")
@needs(Role.OPERATE)
def confirm_all() -> str:
    """Ask a person to confirm an action on all that match, and say how many do."""
    outbox = runtime().outbox
    now = datetime.fromtimestamp(outbox.clock(), UTC)
    asked = _asked(request.args, now)
    return page(
        "confirm_all.html",
        asked=asked,
        count=outbox.count(asked.wanted) if asked.wanted else None,
        examples=outbox.search(asked.wanted, EXAMPLES).messages if asked.wanted else (),
        usual=USUAL[asked.name],
        now=now,
    )


@dashboard.post("/act/all")
@needs(Role.OPERATE)
def act_on_all() -> str:
    """Carry the action out on some of the messages, and show how far it is."""
    asked = _asked(request.form, _asked_at(request.form.get("asked_at", "")))
    progress = Progress(
        total=_number("total"),
        done=_number("done"),
        refused=_number("refused"),
        before=cursor(request.form.get("before", ""))
        or id_at(asked.asked_at.timestamp()),
    )
    reasons = _carry_on(asked, progress)
    return page(
        "act_on_all.html",
        asked=asked,
        progress=progress,
        reasons=list(reasons.items())[:REASONS],
    )


def _carry_on(asked: BulkAct, progress: Progress) -> dict[str, str]:
    """Change the next messages; which were refused, and why."""
    until = time.monotonic() + REQUEST_SECONDS
    reasons: dict[str, str] = {}
    who, note = actor(), asked.filters.note
    while progress.before and asked.wanted:
        found = runtime().outbox.search(asked.wanted, AT_ONCE, before=progress.before)
        ids = [one.id for one in found.messages]
        if ids:
            refused = asked.action.do_to_each(runtime(), ids, who, note)
            reasons |= refused
            progress.refused += len(refused)
            progress.done += len(ids) - len(refused)
        progress.before = found.older
        if time.monotonic() >= until:
            break
    return reasons


def _asked(fields: Mapping[str, str], at: datetime) -> BulkAct:
    name = fields.get("action", "")
    if name not in USUAL:
        abort(
            400,
            phrase("There is no action %(name)s on all that match.", name=repr(name)),
        )
    encrypted = runtime().outbox.encrypted
    chosen = read_filters(fields, at, encrypted=encrypted)
    for field, why in chosen.wrong.items():
        abort(
            400,
            phrase(
                "%(field)s: %(why)s Go back and change it: nothing was done.",
                field=LABELS[field],
                why=why,
            ),
        )
    action = ACTIONS[name]
    wanted: Search | None = chosen.search
    if chosen.tab is None:
        wanted = replace(chosen.search, state=USUAL[name])
    elif chosen.tab.state not in action.states:
        wanted = None
    return BulkAct(name, action, chosen, wanted, at)


def _asked_at(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        abort(400, phrase("The form is incomplete: start again from the list."))


def _number(name: str) -> int:
    """A number of the form, which is only shown."""
    text = request.form.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
