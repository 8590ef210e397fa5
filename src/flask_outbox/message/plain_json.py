"""Plain JSON: metadata and template contexts that survive a round trip."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from .text import shown

WriteJson = Callable[[Any], str]
"""Encodes a value as JSON, as an app's JSON provider does, or raises."""


class NotPlainError(ValueError):
    """A value that cannot be stored as JSON: its path, and the reason."""


def plain(value: Any, path: str, write: WriteJson, *, exactly: bool) -> Any:
    """A copy of ``value``; anything that is not JSON is encoded by ``write``.

    With ``exactly``, a key that would become a string and markup that would become
    plain text are refused. Raises `NotPlainError` for the first value that cannot be
    stored.
    """
    try:
        text = json.dumps(_Copier(write, exactly)(value, path), allow_nan=False)
        return json.loads(text)
    except RecursionError as error:
        raise NotPlainError(
            f"its {path} is nested too deeply, or holds itself"
        ) from error


class _Copier:
    def __init__(self, write: WriteJson, exactly: bool) -> None:
        self._write = write
        self._exactly = exactly

    def __call__(self, value: Any, path: str) -> Any:
        if isinstance(value, Mapping):
            return {
                self._key(key, path): self(one, f"{path}[{shown(key)}]")
                for key, one in value.items()
            }
        if isinstance(value, list | tuple):
            return [self(one, f"{path}[{at}]") for at, one in enumerate(value)]
        if self._exactly and hasattr(value, "__html__"):
            raise _refusal(value, path)
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            if isfinite(value):
                return value
            raise _refusal(value, path)
        if isinstance(value, str):
            if _encodes(value):
                return value
            raise _refusal(value, path)
        return self._written(value, path)

    def _key(self, key: Any, path: str) -> Any:
        if isinstance(key, str) and _encodes(key):
            return key
        if not self._exactly and (key is None or isinstance(key, int | float)):
            return key
        raise NotPlainError(f"{path} has the key {shown(key)}")

    def _written(self, value: Any, path: str) -> Any:
        try:
            written = json.loads(self._write(value))
        except Exception as error:
            raise _refusal(value, path) from error
        return self(written, path)


def _refusal(value: Any, path: str) -> NotPlainError:
    return NotPlainError(f"{path} is {shown(value)}, of type {type(value).__name__}")


def _encodes(text: str) -> bool:
    """Whether the text can be encoded as UTF-8: it has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
