"""The dev inbox: the mail in it, and its release to a real server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flask import Response, abort, make_response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from ...app_state import send_again
from ...delivery import State
from ...errors import MessageError
from ...message import Address
from ...outbox.records import MessageRecord, Search
from ..mail_view import MailUrls, mail_view
from ..pages import actor, dashboard, needs, page, runtime
from ..roles import Role
from ..security import allow_frame

ROWS = 50
"""How many messages are on one page."""


@dashboard.get("/inbox")
@needs(Role.CONTENT)
def inbox() -> str:
    """The newest messages in the dev inbox."""
    here = runtime()
    outbox = here.outbox
    return page(
        "inbox.html",
        seen=outbox.change_marker(),
        found=outbox.search(
            Search(state=State.SENT, in_inbox=True),
            ROWS,
            before=request.args.get("before"),
            after=request.args.get("after"),
        ),
        keeping=[
            name for name, one in here.settings.transports.items() if one.keeps_mail
        ],
        suppress=here.settings.suppress,
    )


@dashboard.get("/inbox/<id>")
@needs(Role.CONTENT)
def inbox_message(id: str) -> Response:
    """One message's content, and the findings of the checks."""
    outbox = runtime().outbox
    record = outbox.get(id)
    content = None if record.hidden else outbox.content(id)
    if content or (record.template and not record.hidden):
        outbox.trail.note_view(actor(), id)
    urls = MailUrls("message", page="inbox_message", id=id)
    html = page(
        "inbox_message.html",
        record=record,
        mail=content and mail_view(content, request.args, record.tag),
        urls=urls,
    )
    return allow_frame(make_response(html), urls.html())


OTHER = "other"
"""The choice of an address that a person types."""


@dataclass(frozen=True, slots=True)
class Release:
    """The transport and the recipients of a release."""

    by: str
    to: tuple[str, ...]


@dashboard.get("/inbox/<id>/release")
@needs(Role.OPERATE)
def release(id: str) -> str:
    """Ask for the server and the recipients, then for confirmation."""
    record = runtime().outbox.get(id)
    wanted, problem = None, ""
    if "by" in request.args:
        try:
            wanted = _wanted(record, request.args)
        except MessageError as error:
            problem = str(error)
    return page(
        "release.html",
        record=record,
        servers=_servers(),
        suppress=runtime().settings.suppress,
        wanted=wanted,
        error=problem,
        asked=request.args,
        other=OTHER,
    )


@dashboard.post("/inbox/<id>/release")
@needs(Role.OPERATE)
def carry_out_release(id: str) -> AnyResponse:
    """Send it as a new message. The histories of both name each other."""
    try:
        wanted = _wanted(runtime().outbox.get(id), request.form)
    except MessageError as error:
        abort(400, str(error))
    receipt = send_again(runtime(), id, by=wanted.by, to=wanted.to, actor=actor())
    return redirect(url_for(".message", id=receipt.id), 303)


def _servers() -> Mapping[str, str]:
    """The transports that send, and their servers."""
    transports = runtime().settings.transports
    return {name: one.place for name, one in transports.items() if not one.keeps_mail}


def _wanted(record: MessageRecord, asked: Mapping[str, str]) -> Release:
    """The release that the form asks for. Raises `MessageError` if it is impossible."""
    by = asked.get("by", "")
    if by not in _servers():
        raise MessageError(
            "transport", f"{by!r} is not a transport that sends: choose another."
        )
    if asked.get("to") == OTHER:
        address = Address.parse(asked.get("address", ""), "address")
        return Release(by, (address.spec,))
    return Release(by, tuple(one.address for one in record.recipients))
