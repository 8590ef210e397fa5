"""The texts with which the package raises its errors, as its source has them."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from itertools import chain, product
from pathlib import Path

import flask_outbox
from flask_outbox import errors
from flask_outbox.config.convert import wrong
from flask_outbox.errors import OutboxError
from flask_outbox.outbox.database_errors import ADVICE, LOST_ADVICE, Fault
from flask_outbox.transports.smtp.errors import SENTENCES

VARIES = "…"
"""What stands for a value in a text."""
SAYS = ("text", "problem", "reason", "message")
"""The parameters of errors that are, or end, the text."""

SHORT = 80
"""About so long is an anchor at most, if that is clear."""

_stop = re.compile("[.:;] ")

PACKAGE = Path(flask_outbox.__file__).parent
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Text:
    """What an error says, with ``…`` for what varies."""

    error: str
    anchor: str
    """The part of the error's section that it names itself; "" if it names none."""
    source: str

    @cached_property
    def words(self) -> str:
        """The text in one line."""
        return " ".join(re.sub(f"{VARIES}+", VARIES, self.source).split())

    @cached_property
    def constant(self) -> list[str]:
        """The pieces between what varies that have more than a word."""
        pieces = (piece.strip(" .:,;()[]/'\"") for piece in self.words.split(VARIES))
        return [piece for piece in pieces if len(re.findall(r"\w+", piece)) > 1]

    @property
    def told(self) -> list[str]:
        """What it is searched for by: these pieces, and each clause of them."""
        clauses = [one for piece in self.constant for one in _stop.split(piece)]
        told = dict.fromkeys([*self.constant, *clauses])
        return [words for words in told if words.count(" ") > 1]

    @property
    def ids(self) -> Iterator[str]:
        """What may be its own anchor on the page, the best first."""
        words = re.findall(r"[a-z0-9]+", " ".join(self.constant).lower())
        id = "-".join([self.error.lower(), *words])
        yield id[:SHORT].rpartition("-")[0] if len(id) > SHORT else id
        yield id


@cache
def texts() -> dict[str, Text]:
    """Each text by its own anchor on the page, in the order of the source."""
    sources = [Source(path) for path in sorted(PACKAGE.rglob("*.py"))]
    known = {
        name: name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, OutboxError)
    }
    for source in sources:
        known |= source.subclasses(known)
    distinct = {
        (text.error, *text.constant): text
        for text in chain(
            *(one.texts(known) for one in sources), of_databases(), of_servers()
        )
        if text.constant
    }
    by_id: dict[str, Text] = {}
    for text in distinct.values():
        by_id[next(id for id in text.ids if id not in by_id)] = text
    return by_id


def of_databases() -> Iterator[Text]:
    """What is said of an outbox's database that fails, whose own words vary."""
    for fault, advice in (*ADVICE.items(), (Fault.LOST, LOST_ADVICE)):
        yield Text(
            "OutboxUnavailable",
            fault.anchor,
            f"The outbox at {VARIES} cannot be used: {VARIES}. {advice}",
        )


def of_servers() -> Iterator[Text]:
    """What is said when an SMTP server cannot be used."""
    source = Source(PACKAGE / "transports" / "smtp" / "errors.py")
    for _, sentence, anchor in SENTENCES:
        login = sentence.__name__ == "_login_rejected"
        error = "LoginRejected" if login else "TransportDown"
        for words in source.returned(sentence.__name__):
            yield Text(error, anchor, words)


class Source:
    """A module of the package."""

    def __init__(self, path: Path) -> None:
        self._tree = ast.parse(path.read_text(encoding="utf-8"))
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        self._module = ".".join(parts).removesuffix(".__init__")

    def subclasses(self, known: dict[str, str]) -> dict[str, str]:
        """The module's own errors, each with the public one that it is."""
        return {
            node.name: known[base.id]
            for node in ast.walk(self._tree)
            if isinstance(node, ast.ClassDef) and node.name not in known
            for base in node.bases[:1]
            if isinstance(base, ast.Name) and base.id in known.keys() - {"OutboxError"}
        }

    def texts(self, known: dict[str, str]) -> Iterator[Text]:
        """What is said by the ``known`` errors that the module makes."""
        yield from self._below(self._tree, None, known)

    def returned(self, name: str) -> Iterator[str]:
        """What the function of that name can return."""
        for function in self._tree.body:
            if isinstance(function, ast.FunctionDef) and function.name == name:
                for node in ast.walk(function):
                    if isinstance(node, ast.Return) and node.value is not None:
                        yield from self._options(node.value, function)

    def _below(
        self, node: ast.AST, function: Function | None, known: dict[str, str]
    ) -> Iterator[Text]:
        if isinstance(node, Function):
            function = node
        if isinstance(node, ast.Call) and (name := _called(node)) in known:
            kind = getattr(errors, known[name])
            yield from self._of_call(node, known[name], kind, function)
        elif isinstance(node, ast.Call) and name == wrong.__name__:
            for wanted in self._options(node.args[-1], function):
                words = f"{VARIES} is {VARIES}: it must be {wanted}."
                yield Text("ConfigError", "", words)
        elif isinstance(node, ast.ClassDef) and node.name in known:
            base = getattr(import_module(self._module), node.name).__base__
            for call in ast.walk(node) if issubclass(base, OutboxError) else ():
                if isinstance(call, ast.Call) and _called(call) == "__init__":
                    yield from self._of_call(call, known[node.name], base, function)
        for child in ast.iter_child_nodes(node):
            yield from self._below(child, function, known)

    def _of_call(
        self,
        call: ast.Call,
        error: str,
        kind: type[OutboxError],
        function: Function | None,
    ) -> Iterator[Text]:
        given = inspect.signature(kind).bind(
            *call.args, **{one.arg or "": one.value for one in call.keywords}
        )
        given.apply_defaults()
        said = [given.arguments[one] for one in SAYS if one in given.arguments]
        anchor = given.arguments.get("anchor")
        named = anchor.value if isinstance(anchor, ast.Constant) else ""
        if error == "MessageError" and ".transports." in self._module:
            named = "transport"  # given by transports/registry.py
        for words in self._options(said[0], function) if said else ():
            yield Text(error, named, words)

    def _options(self, value: ast.expr, function: Function | None) -> list[str]:
        """All that the expression can be, as far as the source says it."""
        if parts := _joined(value):
            each = [self._options(part, function) for part in parts]
            return ["".join(one) for one in product(*each)]
        if choices := _choices(value):
            return [
                one for choice in choices for one in self._options(choice, function)
            ]
        if isinstance(value, ast.Name):
            return self._named(value.id, function)
        said = value.value if isinstance(value, ast.Constant) else None
        return [said if isinstance(said, str) else VARIES]

    def _named(self, name: str, function: Function | None) -> list[str]:
        """What is assigned to the name in the function, or else in the module."""
        if function is not None:
            assigned = [
                option
                for node in ast.walk(function)
                if isinstance(node, ast.Assign)
                and [one.id for one in node.targets if isinstance(one, ast.Name)]
                == [name]
                and not _mentions(node.value, name)
                for option in self._options(node.value, function)
            ]
            if assigned:
                return assigned
        constant = getattr(import_module(self._module), name, None)
        is_words = isinstance(constant, str) and " " in constant
        return [constant if is_words else VARIES]


def _joined(value: ast.expr) -> list[ast.expr]:
    """The parts that make the text one after the other."""
    match value:
        case ast.JoinedStr(values=parts):
            return parts
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [left, right]
        case ast.FormattedValue(value=inner):
            return [inner]
    return []


def _choices(value: ast.expr) -> list[ast.expr]:
    """The expressions of which one makes the text."""
    match value:
        case ast.IfExp(body=body, orelse=orelse):
            return [body, orelse]
        case ast.BoolOp(values=values):
            return values
    return []


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _mentions(value: ast.expr, name: str) -> bool:
    return any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(value))
