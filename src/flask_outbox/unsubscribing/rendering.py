"""Rendering: the app's own template of a page, or else ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Response, current_app, make_response, render_template
from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateNotFound

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""Of our own pages, which fetch nothing."""

_OURS = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
"""Not the app's own: an app may change its delimiters, its filters or its escaping."""


def page_of(template: str, status: int = 200, **names: Any) -> Response:
    """The page that ``template`` makes of ``names``."""
    if _is_the_apps(template):
        return make_response(render_template(template, **names), status)
    response = make_response(_OURS.get_template(template).render(names), status)
    response.headers["Content-Security-Policy"] = POLICY
    return response


def _is_the_apps(template: str) -> bool:
    try:
        current_app.jinja_env.get_template(template)
    except TemplateNotFound as missing:
        if missing.name == template:
            return False
        raise
    return True
