"""Rendering: templates become pages, whatever the app has done to its own Jinja."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from flask import request, url_for
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..guard import Guard
from ..outbox.searches import Count
from ..words import clock, counted, duration
from . import forms
from .blueprint import runtime
from .said import WIDTHS
from .sections import sections

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
"""Not the app's own: an app may change its delimiters, its filters or its escaping."""


def page(template: str, **names: Any) -> str:
    """The page that ``template`` makes of ``names``."""
    return _TEMPLATES.get_template(template).render(names)


def _ago(at: datetime, now: datetime) -> str:
    """How long ago, or in how long: ``3 min 4 s ago``, ``in 12.0 s``."""
    seconds = (now - at).total_seconds()
    return f"in {duration(-seconds)}" if seconds < 0 else f"{duration(seconds)} ago"


def _since(at: datetime, beginning: datetime) -> str:
    """How long after ``beginning``: ``+3.2 ms``."""
    seconds = (at - beginning).total_seconds()
    return f"{'+' if seconds >= 0 else ''}{duration(seconds)}"


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _guard() -> Guard:
    return runtime().outbox.guard


_TEMPLATES.globals.update(
    request=request,
    url_for=url_for,
    csrf_field=forms.FIELD,
    csrf_token=forms.token,
    at_most=Count.of,
    counted=counted,
    guard=_guard,
    sections=sections,
    widths=WIDTHS,
)
_TEMPLATES.filters.update(
    ago=_ago, as_json=_as_json, clock=clock, duration=duration, since=_since
)
