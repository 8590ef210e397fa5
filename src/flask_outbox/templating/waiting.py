"""Waiting: what a template may be given that is rendered later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import TemplateError
from ..plain_json import NotPlainError, WriteJson, plain

_ADVICE = (
    "What waits for a courier must be JSON: dicts with strings for keys, lists, "
    "strings, numbers, booleans and None, or what app.json writes as such. Pass such "
    "values, or use render='now'."
)


def kept(context: Mapping[str, Any], template: str, write: WriteJson) -> dict[str, Any]:
    """A copy of ``context``, as it comes back from JSON.

    What is no JSON by itself is written by ``write``. Raises `TemplateError` with the
    path to the first value that cannot be, or that would not come back as it is.
    """
    try:
        copied: dict[str, Any] = plain(context, "context", write, exactly=True)
    except NotPlainError as error:
        raise TemplateError(f"{error}. {_ADVICE}", template) from error
    return copied
