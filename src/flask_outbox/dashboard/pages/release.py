"""Release: a mail that stayed in the dev inbox is sent after all, by a real server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flask import abort, redirect, request, url_for
from werkzeug.wrappers import Response

from ...errors import MessageError
from ...message import Address
from ...outbox.records import MessageRecord
from ..blueprint import dashboard, runtime, send_again
from ..rendering import page

OTHER = "other"
"""What is chosen for an address that a person types."""


@dataclass(frozen=True, slots=True)
class Release:
    """By which transport it is to leave, and to whom."""

    by: str
    to: tuple[str, ...]


@dashboard.get("/inbox/<id>/release")
def release(id: str) -> str:
    """Ask by which server it is to leave and to whom; then, whether that is meant."""
    record = runtime().outbox.get(id)
    wanted, trouble = None, ""
    if "by" in request.args:
        try:
            wanted = _wanted(record, request.args)
        except MessageError as error:
            trouble = str(error)
    return page(
        "release.html",
        record=record,
        servers=_servers(),
        suppress=runtime().settings.suppress,
        wanted=wanted,
        trouble=trouble,
        asked=request.args,
        other=OTHER,
    )


@dashboard.post("/inbox/<id>/release")
def carry_out_release(id: str) -> Response:
    """Send it, as a new message whose story and this one's tell of each other."""
    try:
        wanted = _wanted(runtime().outbox.get(id), request.form)
    except MessageError as error:
        abort(400, str(error))
    receipt = send_again(id, by=wanted.by, to=wanted.to)
    return redirect(url_for(".message", id=receipt.id), 303)


def _servers() -> Mapping[str, str]:
    """The transports that send, and the servers that they lead to."""
    transports = runtime().settings.transports
    return {name: one.place for name, one in transports.items() if one.smtp}


def _wanted(record: MessageRecord, asked: Mapping[str, str]) -> Release:
    """What was asked for. Raises `MessageError` for what cannot be done."""
    by = asked.get("by", "")
    if by not in _servers():
        raise MessageError("transport", f"{by!r} is none that sends: choose another.")
    if asked.get("to") == OTHER:
        address = Address.parse(asked.get("address", ""), "address")
        return Release(by, (address.spec,))
    return Release(by, tuple(one.address for one in record.recipients))
