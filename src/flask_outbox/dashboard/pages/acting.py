"""What a person does to messages: asked for, confirmed, done, and told."""

from __future__ import annotations

from flask import abort, redirect, request, url_for
from werkzeug.wrappers import Response

from ...errors import MessageNotFound
from ...outbox.ids import is_id
from ...outbox.records import MessageRecord
from ..actions import ACTIONS, Action, carry_out
from ..asked import filters
from ..blueprint import dashboard, runtime
from ..rendering import page

MOST = 200
"""To how many messages something can be done at once."""


@dashboard.get("/act")
def confirm() -> str:
    """Ask whether it shall be done to these messages."""
    name, action = _action(request.args.get("action", ""))
    found = [_record(id) for id in _ids(request.args.getlist("id"))]
    records = [one for one in found if one is not None]
    return page(
        "confirm.html",
        name=name,
        action=action,
        given=filters(request.args),
        records=[one for one in records if one.state in action.states],
        others=[one for one in records if one.state not in action.states],
    )


@dashboard.post("/act")
def act() -> str | Response:
    """Do it, and tell what came of it."""
    name, action = _action(request.form.get("action", ""))
    ids = _ids(request.form.getlist("id"))
    results = carry_out(action, runtime(), ids)
    if len(results) == 1 and results[0].error is None:
        return redirect(url_for(".message", id=results[0].id), 303)
    given = filters(request.form)
    return page("done.html", name=name, action=action, results=results, given=given)


def _action(name: str) -> tuple[str, Action]:
    if name not in ACTIONS:
        abort(400, f"There is nothing called {name!r} to be done.")
    return name, ACTIONS[name]


def _ids(given: list[str]) -> list[str]:
    ids = [one for one in dict.fromkeys(given) if is_id(one)]
    if not ids:
        abort(400, "No message was chosen: tick some in the list first.")
    if len(ids) > MOST:
        abort(400, f"These are more than {MOST} messages: choose fewer at a time.")
    return ids


def _record(id: str) -> MessageRecord | None:
    try:
        return runtime().outbox.get(id)
    except MessageNotFound:
        return None
