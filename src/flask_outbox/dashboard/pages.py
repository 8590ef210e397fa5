"""What all pages share: the access check, templates, navigation and errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

from flask import Blueprint, abort, current_app, g, request, url_for
from markupsafe import Markup
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from ..app_state import state_of
from ..errors import (
    BatchNotFound,
    ConfigError,
    MessageNotFound,
    SensitiveContent,
    StoreError,
    TransitionRefused,
)
from ..feedback import as_reported
from ..humanize import clock, duration
from ..mounting import own_templates
from ..outbox import is_id
from ..outbox.records import Actor, Count
from ..phrases import Phrase, phrase, plural, term
from ..recipient_guard import Guard
from ..runtime import Runtime
from . import language, security, terms
from .mail_view import WIDTHS
from .roles import NO_ROLE, Role, RoleTable

NAME = "flask_outbox"

ROLES = "outbox_roles"
"""The name in ``g`` of the roles that this request has, once it has access."""

dashboard: Blueprint = Blueprint(NAME, __name__, static_folder="static")
"""Each view module adds its routes, and says with `needs` which role each needs. Both
access and roles are checked here for all of them, so that none can be forgotten."""

role_table: RoleTable = RoleTable()


def needs(role: Role) -> Callable[[View], View]:
    """Declare the role that the view below needs."""
    return role_table.needs(role)


def runtime() -> Runtime:
    """The runtime of the current app."""
    return state_of(current_app).runtime


View = TypeVar("View", bound=Callable[..., object])

_expensive: set[str] = set()


def expensive(view: View) -> View:
    """Let only the dashboard's own pages ask for ``view``.

    For a view that runs the app's code, or that takes something scarce such as a
    thread.
    """
    _expensive.add(f"{NAME}.{view.__name__}")
    return view


@dashboard.before_request
def _guard() -> Response | None:
    answer = security.require_access(runtime().settings.dashboard)
    if isinstance(answer, Response):
        return answer
    setattr(g, ROLES, answer)
    view = (request.endpoint or "").removeprefix(f"{NAME}.")
    security.require_role(role_table.needed(view), answer)
    security.refuse_forged_changes()
    security.refuse_foreign_reads(
        expensive=request.endpoint in _expensive or "images" in request.args
    )
    id = (request.view_args or {}).get("id")
    if id is not None and not is_id(id):
        abort(404, phrase("%(id)s is not the id of a message.", id=repr(id)))
    return language.keep_choice()


dashboard.after_request(security.set_csrf_cookie)
dashboard.after_request(security.protect)


def may(role: Role | str) -> bool:
    """Whether the person who makes this request has ``role``."""
    return role in g.get(ROLES, NO_ROLE)


def actor() -> Actor:
    """The person who makes this request, for the audit trail.

    Raises `ConfigError` if the app's function for that returns no name.
    """
    ask = runtime().settings.audit_user
    name = (ask and ask()) or request.remote_addr or "unknown"
    if not isinstance(name, str):
        raise ConfigError(
            f"The function in OUTBOX_AUDIT_USER returned a value of type "
            f"{type(name).__name__}: it must return the user's name, as a string, or "
            "None."
        )
    return Actor.named(name, FACE)


FACE = "dashboard"
"""What the audit trail calls these pages."""


NavigationItem = tuple[Phrase, str]
"""Its title and its endpoint."""


def navigation() -> list[NavigationItem]:
    """The pages of the navigation; those that this app does not need, or that this
    person may not see, are left out.
    """
    keeps_mail = any(one.keeps_mail for one in runtime().settings.transports.values())
    has_previews = any(state_of(current_app).previews)
    found: list[tuple[bool, NavigationItem]] = [
        (True, (phrase("Overview"), ".overview")),
        (True, (phrase("Mail"), ".messages")),
        (True, (phrase("Batches"), ".batches")),
        (keeps_mail, (phrase("Inbox"), ".inbox")),
        (has_previews, (phrase("Previews"), ".previews")),
        (True, (phrase("Lanes"), ".lanes")),
        (True, (phrase("Suppressions"), ".suppressions")),
        (bool(runtime().settings.webhooks), (phrase("Webhooks"), ".webhooks")),
        (True, (phrase("Audit"), ".audit_trail")),
        (True, (phrase("Doctor"), ".doctor")),
    ]
    return [(title, view) for useful, (title, view) in found if useful and _opens(view)]


def _opens(endpoint: str) -> bool:
    """Whether the person who makes this request has the role that a page needs."""
    needed = role_table.needed(endpoint.removeprefix("."))
    return needed is not None and may(needed)


_TEMPLATES = own_templates(Path(__file__).parent / "templates")


def _say(value: Any) -> Any:
    """What a template writes: a phrase in the reader's language, all else as it is."""
    return language.words().say(value) if isinstance(value, Phrase) else value


_TEMPLATES.finalize = _say


def _words(text: str, /, **values: object) -> Markup:
    return language.words()(text, **values)


def _plural(number: int, one: str, other: str, /, **values: object) -> Markup:
    return language.words().say(plural(number, one, other, **values))


def _term(context: str, text: str, /) -> Markup:
    return language.words().say(term(context, text))


def _number(value: float | Count) -> str:
    """A number as the reader's language writes it."""
    if isinstance(value, Count):
        return f"{_number(value.number)}{'' if value.exact else '+'}"
    return str(language.words().value(value))


def _link(address: str, text: object) -> Markup:
    return Markup('<a href="{}">{}</a>').format(address, text)


def page(template: str, **names: Any) -> str:
    """Render the page ``template`` with ``names``."""
    return _TEMPLATES.get_template(template).render(names)


def _since(at: datetime, beginning: datetime) -> str:
    """How long after ``beginning``: ``+3.2 ms``."""
    seconds = (at - beginning).total_seconds()
    return f"{'+' if seconds >= 0 else ''}{_say(duration(seconds))}"


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _now_here() -> datetime:
    """The time by the outbox's clock, which the browser's may differ from."""
    return datetime.fromtimestamp(runtime().outbox.clock(), UTC)


def _recipient_guard() -> Guard:
    return runtime().outbox.guard


_TEMPLATES.globals.update(
    request=request,
    url_for=url_for,
    csrf_field=security.CSRF_FIELD,
    csrf_token=security.csrf_token,
    as_reported=as_reported,
    at_most=Count.of,
    guard=_recipient_guard,
    code=Markup("<code>{}</code>").format,
    em=Markup("<em>{}</em>").format,
    language=lambda: language.words().language,
    languages=language.choices,
    language_names=language.NAMES,
    link=_link,
    may=may,
    navigation=navigation,
    now_here=_now_here,
    plural=_plural,
    strong=Markup("<strong>{}</strong>").format,
    term=_term,
    terms=terms,
    widths=WIDTHS,
    words=_words,
)
_TEMPLATES.filters.update(
    as_json=_as_json, clock=clock, number=_number, said=_say, since=_since
)


@dashboard.errorhandler(StoreError)
def _store_error(error: StoreError) -> tuple[str, int]:
    if isinstance(error, MessageNotFound):
        id = (request.view_args or {}).get("id", "")
        text = phrase("No message has the id %(id)s. It may have been pruned.", id=id)
        return _error_page(HTTPStatus.NOT_FOUND, text), HTTPStatus.NOT_FOUND
    status = HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(error, BatchNotFound):
        status = HTTPStatus.NOT_FOUND
    elif isinstance(error, TransitionRefused):
        status = HTTPStatus.CONFLICT
    elif isinstance(error, SensitiveContent):
        status = HTTPStatus.FORBIDDEN
    return _error_page(status, str(error)), status


@dashboard.errorhandler(HTTPException)
def _http_error(error: HTTPException) -> Response:
    response = error.get_response()
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    response.set_data(_error_page(status, error.description or error.name))
    return response


def _error_page(status: HTTPStatus, text: str) -> str:
    """The page of an error; with the navigation if the request has access."""
    shared: dict[str, Any] = {"here": ""} if ROLES in g else {}
    temporary = status is HTTPStatus.SERVICE_UNAVAILABLE and request.method == "GET"
    return page(
        "error.html",
        heading=phrase(
            "%(code)s %(status)s", code=status.value, status=_status(status)
        ),
        text=text,
        again=f"{request.script_root}{request.full_path}" if temporary else "",
        **shared,
    )


def _status(status: HTTPStatus) -> str:
    return terms.HTTP_STATUSES.get(status.phrase.lower(), status.phrase)
