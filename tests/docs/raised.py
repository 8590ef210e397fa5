"""The errors that the package's source makes, as far as their texts are constant."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import flask_outbox
from flask_outbox.config.convert import wrong
from flask_outbox.errors import ConfigError, KeyMissing, OutboxError, TransportDown
from flask_outbox.transports.smtp import errors as smtp

PACKAGE = Path(flask_outbox.__file__).parent


@dataclass(frozen=True)
class Raised:
    """An error that the source makes."""

    where: str
    kind: type[OutboxError]
    pieces: tuple[str, ...]
    """What it says, between what varies, where that is words."""
    anchor: str = ""
    """What it names of its section."""


@cache
def raised() -> list[Raised]:
    """Every error that the source makes by name, and those of SMTP servers."""
    known = {one.__name__: one for one in kinds()} | {wrong.__name__: ConfigError}
    found = [*of_servers()]
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                name, where = node.func.id, f"{path}:{node.lineno}"
                said = node.args[-1:] if name == wrong.__name__ else node.args[:2]
                if kind := known.get(name):
                    pieces = tuple(pieces_of(*said))
                    found.append(Raised(where, kind, pieces, anchor_of(node)))
    return found


def kinds(base: type[OutboxError] = OutboxError) -> Iterator[type[OutboxError]]:
    """The public errors, and others that are of such a kind.

    `KeyMissing` is left out: it is given only a part of its text.
    """
    for one in base.__subclasses__():
        if base is not OutboxError or one.__module__ == OutboxError.__module__:
            if one is not KeyMissing:
                yield one
            yield from kinds(one)


def of_servers() -> Iterator[Raised]:
    """The sentences about SMTP servers that cannot be used."""
    names = {sentence.__name__ for _, sentence, _ in smtp.SENTENCES}
    tree = ast.parse(Path(smtp.__file__).read_text(encoding="utf-8"))
    for function in tree.body:
        if isinstance(function, ast.FunctionDef) and function.name in names:
            for node in ast.walk(function):
                if isinstance(node, ast.Return) and node.value is not None:
                    pieces = tuple(pieces_of(node.value))
                    yield Raised(
                        f"{smtp.__file__}:{node.lineno}", TransportDown, pieces
                    )


def pieces_of(*said: ast.expr) -> Iterator[str]:
    """The constant texts in the expressions, where they are words."""
    for expression in said:
        for node in ast.walk(expression):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                piece = " ".join(node.value.split()).strip(" .:,;()[]/'\"")
                if piece.count(" ") > 1:
                    yield piece


def anchor_of(call: ast.Call) -> str:
    """The anchor that the error is given, as a constant."""
    for one in call.keywords:
        if one.arg == "anchor" and isinstance(one.value, ast.Constant):
            return str(one.value.value)
    return ""
