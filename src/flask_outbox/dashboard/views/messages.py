"""Messages: the list with its search form, one message, and actions on them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from flask import Response, abort, make_response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from ...actions import ACTIONS, Action, Change, apply
from ...app_state import send_again
from ...errors import MessageNotFound, OutboxUnavailable
from ...feedback import Fate
from ...history import describe
from ...outbox import is_id
from ...outbox.records import (
    Act,
    AuditSearch,
    LaneRecord,
    MessageRecord,
    Tab,
)
from ...phrases import phrase
from ...status import LanePause, MessageStatus
from ..filters import PRESETS, cursor, fields, read_filters
from ..mail_view import MailUrls, download, framed_html, mail_view, part_of, source_of
from ..pages import actor, dashboard, may, needs, page, runtime
from ..roles import Role
from ..security import allow_frame
from .bulk import USUAL

ROWS = 50
"""How many messages are on one page."""


@dashboard.get("/messages")
@needs(Role.READ)
def messages() -> str:
    """The newest messages that match the search."""
    outbox = runtime().outbox
    now = datetime.fromtimestamp(outbox.clock(), UTC)
    chosen = read_filters(request.args, now, encrypted=outbox.encrypted)
    seen = outbox.change_marker()
    found = outbox.search(
        chosen.search,
        ROWS,
        before=cursor(request.args.get("before", "")),
        after=cursor(request.args.get("after", "")),
        fold=chosen.folds,
    )
    return page(
        "messages.html",
        seen=seen,
        found=found,
        encrypted=outbox.encrypted,
        actions=ACTIONS,
        on_all=[(name, ACTIONS[name]) for name in USUAL],
        filters=chosen,
        given=chosen.given,
        tabs=list(Tab),
        fates=list(Fate),
        lanes=list(runtime().settings.transports),
        presets=PRESETS,
        saved=runtime().settings.dashboard_views,
        now=now,
    )


@dashboard.get("/messages/<id>")
@needs(Role.READ)
def message(id: str) -> Response:
    """One message: its status, history and recipients, and its content for those who
    may see it. An update of the page leaves the content out: it has not changed.
    """
    outbox = runtime().outbox
    seen = outbox.change_marker(id)
    record = outbox.get(id)
    unnoted = ""
    content = None
    shown = may(Role.CONTENT) and "HX-Request" not in request.headers
    if shown and not record.hidden:
        content = outbox.content(id)
        if content or record.template:
            unnoted = _note_view(id)
    urls = MailUrls("message", id=id)
    now = datetime.fromtimestamp(outbox.clock(), UTC)
    steps = describe(record)
    barred = outbox.barred_of([record])[record.id]
    html = page(
        "message.html",
        seen=seen,
        record=record,
        status=MessageStatus(record, _pause(record, outbox.paused_lanes()), now),
        steps=steps,
        actions={
            name: action
            for name, action in ACTIONS.items()
            if action.is_offered_for(record, barred)
        },
        barred=barred,
        audit=outbox.trail.find(AuditSearch(target=id), LINES),
        shown=shown and not unnoted,
        unnoted=unnoted,
        mail=content and mail_view(content, request.args, record.tag),
        urls=urls,
        dialogues=[one for one in steps if "dialogue" in one.event.detail],
        now=now,
    )
    return allow_frame(make_response(html), urls.html())


LINES = 10
"""How many lines of the audit trail are with a message; its own page has all."""


def _note_view(id: str) -> str:
    """Record that the content is viewed; why that failed, if so."""
    try:
        runtime().outbox.trail.note_view(actor(), id)
    except OutboxUnavailable as error:
        return str(error)
    return ""


def _pause(record: MessageRecord, lanes: Sequence[LaneRecord]) -> LanePause | None:
    for lane in lanes:
        if lane.name == record.lane and lane.paused_by:
            return LanePause(lane.reason, lane.until)
    return None


@dashboard.get("/messages/<id>/html")
@needs(Role.CONTENT)
def message_html(id: str) -> AnyResponse:
    """A mail's HTML."""
    content = _content(id)
    runtime().outbox.trail.note_view(actor(), id)
    return framed_html(content, MailUrls("message", id=id).page())


@dashboard.get("/messages/<id>/source")
@needs(Role.CONTENT)
def message_source(id: str) -> Response:
    """A mail's RFC 5322 source, as text."""
    content = _content(id)
    runtime().outbox.trail.note_view(actor(), id)
    return source_of(content)


@dashboard.get("/messages/<id>/message.eml")
@needs(Role.CONTENT)
def message_file(id: str) -> Response:
    """A mail's RFC 5322 source, as a file."""
    content = _content(id)
    runtime().outbox.trail.note(actor(), Act.DOWNLOAD, id)
    return download(content, f"{id}.eml")


@dashboard.get("/messages/<id>/parts/<int:number>")
@needs(Role.CONTENT)
def message_part(id: str, number: int) -> Response:
    """One part of a mail, as a file."""
    part = part_of(_content(id), number)
    runtime().outbox.trail.note(actor(), Act.DOWNLOAD, id, f"part {number}")
    return part


def _content(id: str) -> bytes:
    outbox = runtime().outbox
    content = outbox.content(id)
    if content is None:
        if outbox.get(id).template is not None:
            abort(404, phrase("Message %(id)s is not rendered yet.", id=id))
        abort(
            404,
            phrase(
                "The content of message %(id)s was pruned (%(key)s) or erased.",
                id=id,
                key="OUTBOX_KEEP_BODIES",
            ),
        )
    return content


MOST = 200
"""The most messages that one action can change."""


@dashboard.get("/act")
@needs(Role.OPERATE)
def confirm() -> str:
    """Ask a person to confirm an action on these messages."""
    name, action = _action(request.args.get("action", ""))
    found = [_record(id) for id in _ids(request.args.getlist("id"))]
    records = [one for one in found if one is not None]
    barred = runtime().outbox.barred_of(records)
    possible = [one for one in records if action.is_offered_for(one, barred[one.id])]
    return page(
        "confirm.html",
        name=name,
        action=action,
        given=fields(request.args),
        records=possible,
        others=[one for one in records if one not in possible],
        now=datetime.fromtimestamp(runtime().outbox.clock(), UTC),
    )


@dashboard.post("/act")
@needs(Role.OPERATE)
def act() -> str | AnyResponse:
    """Carry the action out, and show the results."""
    name, action = _action(request.form.get("action", ""))
    ids = _ids(request.form.getlist("id"))
    change = _change(name, action)
    results = [apply(change, id) for id in ids]
    if len(results) == 1 and results[0].error is None:
        return redirect(url_for(".message", id=results[0].new_id or results[0].id), 303)
    given = fields(request.form)
    return page(
        "actions_done.html", name=name, action=action, results=results, given=given
    )


def _action(name: str) -> tuple[str, Action]:
    if name not in ACTIONS:
        abort(400, phrase("There is no action %(name)s.", name=repr(name)))
    return name, ACTIONS[name]


def _change(name: str, action: Action) -> Change:
    """The change that ``action`` makes to a message of this app."""
    do = send_again if name == "send-again" else action.do
    return partial(do, runtime(), actor=actor())


def _ids(given: list[str]) -> list[str]:
    ids = [one for one in dict.fromkeys(given) if is_id(one)]
    if not ids:
        abort(400, phrase("No message was selected: select some in the list first."))
    if len(ids) > MOST:
        abort(
            400,
            phrase(
                "More than %(number)s messages were selected: select fewer.",
                number=MOST,
            ),
        )
    return ids


def _record(id: str) -> MessageRecord | None:
    try:
        return runtime().outbox.get(id)
    except MessageNotFound:
        return None
