"""Listings: the source that really runs, with the lines of each step."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from textwrap import dedent
from typing import Any


@dataclass(frozen=True, slots=True)
class Line:
    """A line of source, and the steps that run it."""

    number: int
    text: str
    steps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """The source of one function."""

    title: str
    file: str
    lines: tuple[Line, ...]


def listing(
    title: str, function: Callable[..., Any], marks: Mapping[int, tuple[str, ...]]
) -> Listing:
    """The source of ``function``; ``marks`` are the starts of the statements of each
    step.

    A mark is the beginning of a statement, or ``def`` for the function's head. Raises
    `LookupError` for a mark that does not exist.
    """
    function = inspect.unwrap(function)
    source, first = inspect.getsourcelines(function)
    lines = dedent("".join(source)).splitlines()
    tree = ast.parse("\n".join(lines)).body[0]
    assert isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef)
    spans = {
        step: {
            number for beginning in several for number in _span(tree, lines, beginning)
        }
        for step, several in marks.items()
    }
    return Listing(
        title,
        PurePath(inspect.getfile(function)).name,
        tuple(
            Line(
                first + index,
                text,
                tuple(step for step, numbers in spans.items() if index + 1 in numbers),
            )
            for index, text in enumerate(lines)
        ),
    )


def _span(
    tree: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str], beginning: str
) -> range:
    if beginning == "def":
        return range(1, tree.body[0].lineno)
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and node is not tree:
            assert node.end_lineno
            if lines[node.lineno - 1].strip().startswith(beginning):
                return range(node.lineno, node.end_lineno + 1)
    raise LookupError(f"{tree.name} has no statement that begins with {beginning!r}")
