"""Sources: all that a template is made of, and a version that changes with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256

from jinja2 import Environment, TemplateNotFound
from jinja2.meta import find_referenced_templates, find_undeclared_variables
from jinja2.nodes import Block, Name
from jinja2.nodes import Template as JinjaTree

VERSION_DIGITS = 12
"""Hexadecimal ones: enough to tell all versions of a template apart."""


@dataclass(frozen=True, slots=True)
class _Source:
    name: str
    text: str
    tree: JinjaTree
    same: Callable[[], bool] | None


@dataclass(frozen=True, slots=True)
class _Read:
    version: str
    blocks: frozenset[str] | None
    """The names of all blocks; None where a variable names what is extended."""
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
        return self._known(names).version

    def may_have_block(self, names: Iterable[str], block: str) -> bool:
        """Whether one of them, or what they are made of, has such a block.

        True also where that cannot be told before they are rendered.
        """
        blocks = self._known(names).blocks
        return blocks is None or block in blocks

    def undeclared(self, names: Iterable[str]) -> set[str]:
        """The names that these templates, and all that they are made of, ask for.

        Without those that one of them gives a value itself, and the globals. Raises
        Jinja's error for a source that is no template.
        """
        asked: set[str] = set()
        given = set(self._environment.globals)
        for one in self._all(names):
            asked |= find_undeclared_variables(one.tree)
            given |= {
                node.name for node in one.tree.find_all(Name) if node.ctx != "load"
            }
        return asked - given

    def _known(self, names: Iterable[str]) -> _Read:
        key = tuple(names)
        known = self._read.get(key)
        if known is None or not all(same() for same in known.unchanged):
            known = self._read[key] = self._look(key)
        return known

    def _look(self, names: tuple[str, ...]) -> _Read:
        digest = sha256()
        unchanged: list[Callable[[], bool]] = []
        blocks: set[str] = set()
        all_named = True
        for one in self._all(names):
            digest.update(f"{one.name}\0{one.text}\0".encode())
            blocks |= {block.name for block in one.tree.find_all(Block)}
            all_named &= None not in find_referenced_templates(one.tree)
            if one.same is not None:
                unchanged.append(one.same)
        return _Read(
            digest.hexdigest()[:VERSION_DIGITS],
            frozenset(blocks) if all_named else None,
            tuple(unchanged),
        )

    def _all(self, names: Iterable[str]) -> Iterator[_Source]:
        """These templates, and all that they extend or include by name."""
        waiting = list(names)
        seen = set(waiting)
        while waiting:
            name = waiting.pop()
            text, same = self._source(name)
            tree = self._environment.parse(text, name)
            yield _Source(name, text, tree, same)
            for other in find_referenced_templates(tree):
                if other is not None and other not in seen:
                    waiting.append(other)
                    seen.add(other)

    def _source(self, name: str) -> tuple[str, Callable[[], bool] | None]:
        """The source of one, empty where there is none: it may be allowed to miss."""
        assert self._environment.loader is not None
        try:
            found = self._environment.loader.get_source(self._environment, name)
        except TemplateNotFound:
            return "", None
        return found[0], found[2]
