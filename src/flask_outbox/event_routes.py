"""The page to which providers post their events, for each transport.

It needs no login and no CSRF token: what it takes is proved by the provider's signature
or by a secret, and a GET changes nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from flask import Blueprint, Flask, Response, abort, current_app, request

from . import log, mounting
from .app_state import state_of, this_app
from .errors import EventsRefused, StoreError
from .feedback.provider import EventRequest
from .transports.intakes import EventIntake

NAME = "outbox_events"

PIECE_BYTES = 64 * 1024

NOT_TAKEN = EventsRefused(
    404,
    "no events are taken here: the path must end in the name of a transport, and for "
    "that one set MAIL_EVENTS_SECRET or MAIL_EVENTS_TOPICS",
)

events: Blueprint = Blueprint(NAME, __name__)


def mount(app: Flask, path: str) -> None:
    """Put the pages below ``path``, unless the app has them.

    Raises `ConfigError` if the app has routes there; if they are added later, each
    request raises it.
    """
    mounting.mount(app, events, path, "OUTBOX_EVENTS_PATH")


@events.get("/<transport>")
def ready(transport: str) -> Response:
    """Answer a provider, or a person, who looks whether there is such a page."""
    _intake(transport)
    return _text("Events are posted here.", 200)


@events.post("/<transport>")
def take(transport: str) -> Response:
    """Take a provider's events: 200 says that they are stored.

    The signals follow the response, as listeners may take longer than providers wait.
    """
    runtime, intake = state_of(current_app).runtime, _intake(transport)
    try:
        said = intake.said(_as_it_came(intake.provider.max_bytes))
        taken = runtime.outbox.take_feedback(said.feedback, said.token)
    except EventsRefused as refusal:
        intake.count_refusal(refusal.status)
        return _refused(transport, refusal)
    except StoreError as error:
        reason = "the events cannot be stored at present: post them again"
        intake.count_refusal(503)
        return _refused(transport, EventsRefused(503, reason, str(error)))
    if said.unknown:
        log.warn_of_unknown_events(this_app(), transport, said.unknown)
    response = _text("", 200)
    response.call_on_close(partial(runtime.announce, taken))
    return response


def _intake(transport: str) -> EventIntake:
    runtime = state_of(current_app).runtime
    try:
        intake = runtime.event_intakes.of(transport)
    except EventsRefused as refusal:
        abort(_refused(transport, refusal))
    if intake is None:
        if request.method == "POST" and transport in runtime.settings.transports:
            log.warn_of_refused_events(this_app(), transport, NOT_TAKEN)
        abort(_text(f"Refused: {NOT_TAKEN.reason}.", 404))
    return intake


def _as_it_came(limit: int) -> EventRequest:
    """The request. Raises `EventsRefused` if it is longer than ``limit`` bytes."""
    at = datetime.now(UTC)
    headers = {name.lower(): value for name, value in request.headers}
    if (request.content_length or 0) > limit:
        raise _too_long(limit)
    body = bytearray()
    while piece := request.stream.read(PIECE_BYTES):
        body += piece
        if len(body) > limit:
            raise _too_long(limit)
    return EventRequest(headers, bytes(body), at)


def _too_long(limit: int) -> EventsRefused:
    return EventsRefused(413, f"the body is longer than {limit} bytes")


def _refused(transport: str, refusal: EventsRefused) -> Response:
    log.warn_of_refused_events(this_app(), transport, refusal)
    response = _text(f"Refused: {refusal.reason}.", refusal.status)
    if refusal.status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="events"'
    return response


def _text(text: str, status: int) -> Response:
    return Response(text, status, mimetype="text/plain")
