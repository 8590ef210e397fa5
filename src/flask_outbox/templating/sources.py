"""Sources: all that a template is made of, and a version that changes with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

from jinja2 import Environment, TemplateNotFound
from jinja2.meta import find_referenced_templates

VERSION_DIGITS = 12
"""Hexadecimal ones: enough to tell all versions of a template apart."""


@dataclass(frozen=True, slots=True)
class _Read:
    version: str
    unchanged: tuple[Callable[[], bool], ...]


class Sources:
    """The sources of one environment's templates, read once and again when changed."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._read: dict[tuple[str, ...], _Read] = {}

    def version(self, names: Iterable[str]) -> str:
        """A short hash of these templates, and all that they extend or include by name.

        What a variable names cannot be told. Raises Jinja's error for a source that is
        no template.
        """
        key = tuple(names)
        known = self._read.get(key)
        if known is None or not all(same() for same in known.unchanged):
            known = self._read[key] = self._look(key)
        return known.version

    def _look(self, names: tuple[str, ...]) -> _Read:
        digest = sha256()
        unchanged: list[Callable[[], bool]] = []
        waiting, seen = list(names), set(names)
        while waiting:
            name = waiting.pop()
            source, same = self._source(name)
            digest.update(f"{name}\0{source}\0".encode())
            if same is not None:
                unchanged.append(same)
            for other in find_referenced_templates(
                self._environment.parse(source, name)
            ):
                if other is not None and other not in seen:
                    waiting.append(other)
                    seen.add(other)
        return _Read(digest.hexdigest()[:VERSION_DIGITS], tuple(unchanged))

    def _source(self, name: str) -> tuple[str, Callable[[], bool] | None]:
        """The source of one, empty where there is none: it may be allowed to miss."""
        assert self._environment.loader is not None
        try:
            found = self._environment.loader.get_source(self._environment, name)
        except TemplateNotFound:
            return "", None
        return found[0], found[2]
