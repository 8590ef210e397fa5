"""Links: ``url_for`` in mail, which is read elsewhere."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import flask
from flask import current_app, has_request_context
from werkzeug.routing import BuildError

from ..errors import TemplateError

_IN_ANCHORS = "%!#$&'()*+,/:;=?@"


def url_for(
    endpoint: str,
    *,
    _anchor: str | None = None,
    _method: str | None = None,
    _scheme: str | None = None,
    _external: bool = True,
    **values: Any,
) -> str:
    """Flask's ``url_for``, whole (``_external=True``) unless it is told otherwise.

    Where the app has a ``SERVER_NAME``, that is the server, whatever the request says
    it is: a forged Host header must not get into anybody's mail. Without one it takes a
    request; raises `TemplateError` where there is none.
    """
    adapter = current_app.create_url_adapter(None)
    if adapter is None:
        return _by_the_request(
            endpoint,
            _anchor=_anchor,
            _method=_method,
            _scheme=_scheme,
            _external=_external,
            **values,
        )
    current_app.inject_url_defaults(endpoint, values)
    try:
        url = adapter.build(
            endpoint,
            values,
            method=_method,
            url_scheme=_scheme,
            force_external=_external,
        )
    except BuildError as error:
        values.update(
            _anchor=_anchor, _method=_method, _scheme=_scheme, _external=_external
        )
        return current_app.handle_url_build_error(error, endpoint, values)
    return url if _anchor is None else f"{url}#{quote(_anchor, safe=_IN_ANCHORS)}"


def _by_the_request(endpoint: str, **values: Any) -> str:
    if not has_request_context():
        raise TemplateError(
            f"url_for({endpoint!r}) needs to know the app's server: set SERVER_NAME, "
            "and APPLICATION_ROOT and PREFERRED_URL_SCHEME where they are not '/' and "
            "'http'."
        )
    return flask.url_for(endpoint, **values)
