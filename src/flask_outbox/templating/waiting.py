"""Waiting: what a template may be given that is rendered later."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from ..characters import shown
from ..errors import TemplateError

_ADVICE = (
    "What waits for a courier must be JSON: dicts with strings for keys, lists, "
    "strings, numbers, booleans and None. Pass such values, or use render='now'."
)


def kept(context: Mapping[str, Any], template: str) -> dict[str, Any]:
    """A copy of ``context``, as it comes back from JSON.

    Raises `TemplateError` with the path to the first value that would not.
    """
    try:
        problem = next(_problems(context, "context"), None)
    except RecursionError:
        problem = "its context is nested too deeply, or holds itself"
    if problem is not None:
        raise TemplateError(f"{problem}. {_ADVICE}", template)
    copied: dict[str, Any] = json.loads(json.dumps(context))
    return copied


def _problems(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, one in value.items():
            if not isinstance(key, str):
                yield f"{path} has the key {shown(key)}"
            yield from _problems(one, f"{path}[{key!r}]")
    elif isinstance(value, list | tuple):
        for index, one in enumerate(value):
            yield from _problems(one, f"{path}[{index}]")
    elif not _fits(value):
        yield f"{path} is {shown(value)}, of type {type(value).__name__}"


def _fits(value: Any) -> bool:
    if isinstance(value, str):
        return not hasattr(value, "__html__") and _encodes(value)
    if isinstance(value, float):
        return isfinite(value)
    return value is None or isinstance(value, bool | int)


def _encodes(text: str) -> bool:
    """Whether UTF-8 can carry it: not a lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
