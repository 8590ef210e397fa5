"""The house: each floor imports only lower floors, and floors 0-6 never import Flask.

The rules are written as functions of a folder of sources, so that the tests at the end
can show, on small trees that break them, that each rule is able to fail.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "flask_outbox"

FLOORS = {
    "errors": 0,
    "characters": 0,
    "spreadsheets": 0,
    "rate": 0,
    "patience": 0,
    "tally": 0,
    "backoff": 0,
    "daemon_executor": 0,
    "events": 0,
    "forking": 0,
    "words": 0,
    "offhub": 0,
    "loops": 1,
    "opened": 1,
    "plain_json": 1,
    "message": 1,
    "delivery": 1,
    "config": 1,
    "uwsgi_threads": 1,
    "checks": 2,
    "guard": 2,
    "previews": 2,
    "mime": 2,
    "dkim": 2,
    "story": 2,
    "outbox.schema": 2,
    "outbox.ids": 2,
    "outbox.migrations": 2,
    "transports.base": 2,
    "outbox": 3,
    "transports": 3,
    "lane": 4,
    "routing": 2,
    "attempt": 4,
    "picture": 4,
    "standing": 4,
    "handover": 4,
    "rendering": 4,
    "telling": 4,
    "relay": 4,
    "courier": 5,
    "many": 5,
    "direct": 5,
    "readying": 5,
    "repeats": 0,
    "runtime": 6,
    "engines": 7,
    "cli": 7,
    "dashboard": 7,
    "logs": 7,
    "templating": 7,
    "unsubscribing": 7,
    "origin": 7,
    "extension": 8,
    "testing": 9,
    "flask_mail": 9,
    "demo": 9,
    "__init__": 9,
}
"""Each module's floor. A package's is that of all in it that is not named itself."""

WEB_FLOOR = 7
WEB = {"flask", "werkzeug", "click"}
CELERY = {"celery", "kombu", "billiard", "amqp"}
CELERY_PACKAGE = "engines"

FILE_LINES = 600
FUNCTION_LINES = 60
LONG: dict[str, str] = {
    "outbox.migrations.versions.v0001_the_first_tables:upgrade": (
        "the first schema, kept as it was: one statement for each table"
    ),
}
"""What may be longer, and why: ``"module"`` or ``"module:Class.function"``."""


# ------------------------------------------------------------------- reading a tree


@dataclass(frozen=True)
class Module:
    """One source file. ``name`` is relative to the package: ``outbox.schema``."""

    name: str
    package: str
    """The package that its relative imports start from; ``""`` is the top."""
    tree: ast.Module
    lines: int


@dataclass(frozen=True)
class Import:
    """One import. ``target`` is a module of ours, or another project's in full."""

    line: int
    target: str
    ours: bool


def read_tree(root: Path) -> dict[str, Module]:
    modules = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        package = ".".join(parts[:-1])
        name = package or "__init__" if parts[-1] == "__init__" else ".".join(parts)
        text = path.read_text(encoding="utf-8")
        modules[name] = Module(name, package, ast.parse(text), len(text.splitlines()))
    return modules


def imports_of(
    module: Module, root_name: str, modules: dict[str, Module]
) -> list[Import]:
    """What ``module`` imports: at the top, in functions and under TYPE_CHECKING."""
    found = []
    for node in ast.walk(module.tree):
        for name in _imported_names(node, module, root_name):
            top, _, rest = name.partition(".")
            ours = top == root_name
            target = _nearest(rest, modules) if ours else name
            found.append(Import(getattr(node, "lineno", 0), target, ours))
    return sorted(set(found), key=lambda one: one.line)


def _imported_names(node: ast.AST, module: Module, root_name: str) -> Iterator[str]:
    """The full names that one statement imports, relative ones resolved."""
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=source, names=names, level=level):
            start = _climb(module, root_name, level) if level else []
            start += [source] if source else []
            yield from (".".join([*start, alias.name]) for alias in names)
        case ast.Call(
            func=ast.Name(id="import_module" | "__import__")
            | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            level = len(name) - len(name.lstrip("."))
            start = _climb(module, root_name, level) if level else []
            yield ".".join([*start, name[level:]])


def _climb(module: Module, root_name: str, level: int) -> list[str]:
    here = [root_name, *filter(None, module.package.split("."))]
    if level > len(here):
        raise ImportError(f"{module.name} imports from above {root_name}")
    return here[: len(here) - level + 1]


def _nearest(name: str, modules: dict[str, Module]) -> str:
    """The module that ``name`` is, or else the one that it is a name in."""
    if name in modules:
        return name
    parent = name.rpartition(".")[0]
    if not name or "." not in name or parent in modules:
        return parent or "__init__"
    return name


def floor_of(name: str) -> int | None:
    while name not in FLOORS and "." in name:
        name = name.rpartition(".")[0]
    return FLOORS.get(name)


# ------------------------------------------------------------------------- the rules


def import_faults(root: Path) -> list[str]:
    """Each import that breaks a rule, in words."""
    modules = read_tree(root)
    faults = []
    graph: dict[str, set[str]] = {}
    for module in modules.values():
        floor = floor_of(module.name)
        if floor is None:
            faults.append(f"{module.name} has no floor: name it in FLOORS")
            continue
        imports = imports_of(module, root.name, modules)
        graph[module.name] = {one.target for one in imports if one.ours}
        for one in imports:
            fault = _fault(module.name, floor, one)
            if fault:
                faults.append(f"{module.name}:{one.line} (floor {floor}) {fault}")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        faults.append("a cycle of imports: " + " -> ".join(reversed(error.args[1])))
    return faults


def _fault(name: str, floor: int, one: Import) -> str | None:
    if not one.ours:
        return _foreign_fault(name, floor, one.target.partition(".")[0])
    other = floor_of(one.target)
    if other is None:
        return f"imports {one.target}, which has no floor"
    if other > floor:
        return f"imports {one.target} on floor {other}: an upward arrow"
    if other == floor and not _neighbours(name, one.target):
        return f"imports {one.target} on its own floor, from another package"
    return None


def _foreign_fault(name: str, floor: int, top: str) -> str | None:
    if floor < WEB_FLOOR and top in WEB:
        return f"imports {top}: only floor {WEB_FLOOR} and above may"
    if top in CELERY and name.partition(".")[0] != CELERY_PACKAGE:
        return f"imports {top}: only {CELERY_PACKAGE} may"
    return None


def _neighbours(name: str, other: str) -> bool:
    """Whether two modules of one floor may know each other (without a cycle).

    They may inside one sub-package; and the top floor may use the public names as any
    user would: ``from flask_outbox import Mail``.
    """
    return other == "__init__" or name.partition(".")[0] == other.partition(".")[0]


def missing_docstrings(root: Path) -> list[str]:
    return [
        f"{name} has no docstring"
        for name, module in read_tree(root).items()
        if not _is_private(name) and not ast.get_docstring(module.tree)
    ]


def _is_private(name: str) -> bool:
    return any(
        part.startswith("_") and not part.startswith("__") for part in name.split(".")
    )


def lengths(root: Path) -> dict[str, int]:
    """How long is what is too long; a function's docstring does not count."""
    long = {}
    for module in read_tree(root).values():
        if module.lines > FILE_LINES:
            long[module.name] = module.lines
        for name, function in _functions(module.tree):
            lines = _body_lines(function)
            if lines > FUNCTION_LINES:
                long[f"{module.name}:{name}"] = lines
    return long


Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(node: ast.AST, inside: str = "") -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        name = inside
        if isinstance(child, Function | ast.ClassDef):
            name = f"{inside}.{child.name}" if inside else child.name
        if isinstance(child, Function):
            yield name, child
        yield from _functions(child, name)


def _body_lines(function: Function) -> int:
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function, clean=False) is not None:
        docstring = function.body[0]
        lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return lines


# ------------------------------------------------------------------- our own sources


def test_imports_go_down() -> None:
    faults = import_faults(SOURCE)
    assert not faults, "\n".join(["", *faults])


def test_public_modules_have_a_docstring() -> None:
    faults = missing_docstrings(SOURCE)
    assert not faults, "\n".join(["", *faults])


def test_what_is_long_has_a_reason() -> None:
    faults = [
        f"{name} has {lines} lines: split it, or give a reason in LONG"
        for name, lines in lengths(SOURCE).items()
        if name not in LONG
    ]
    assert not faults, "\n".join(["", *faults])


def test_reasons_are_still_needed() -> None:
    assert LONG.keys() <= lengths(SOURCE).keys()
    assert all(LONG.values())


# --------------------------------------------------------- the rules are able to fail

GOOD = {
    "errors.py": "import enum",
    "delivery.py": "from .errors import OutboxError",
    "outbox/__init__.py": "",
    "outbox/schema.py": "from ..delivery import State",
    "outbox/store.py": "from . import schema\nfrom .claims import claim",
    "outbox/claims.py": "from flask_outbox.outbox.schema import message",
    "outbox/migrations/versions/0001_first.py": "from ...schema import message",
    "runtime.py": "import flask_outbox.outbox.store",
    "cli.py": "import click\nfrom .runtime import Runtime",
    "extension.py": "from flask import Flask\nfrom . import runtime, errors",
    "__init__.py": "from .extension import Mail",
    "demo/__init__.py": "",
    "demo/__main__.py": "from .app import app",
    "demo/app.py": "import flask\nfrom flask_outbox import Mail",
}


def tree(tmp_path: Path, files: dict[str, str]) -> Path:
    """A package of small files."""
    root = tmp_path / "flask_outbox"
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def faults_of(tmp_path: Path, **changed: str) -> list[str]:
    """The faults of the good tree after files were changed: ``outbox_store="…"``."""
    paths = {
        path.removesuffix(".py").replace("/", "_"): path
        for path in [*GOOD, "lane.py", "attempt.py", "engines/celery.py", "utils.py"]
    }
    files = GOOD | {paths[name]: text for name, text in changed.items()}
    return import_faults(tree(tmp_path, files))


def test_a_good_tree_has_no_faults(tmp_path: Path) -> None:
    assert faults_of(tmp_path) == []


@pytest.mark.parametrize(
    "text",
    [
        "from .delivery import State",
        "from . import delivery",
        "import flask_outbox.delivery",
        "from flask_outbox import delivery",
        "from flask_outbox.delivery import *",
        "def f():\n    from .delivery import State",
        "if TYPE_CHECKING:\n    from .delivery import Report",
        "importlib.import_module('.delivery', __package__)",
        "__import__('flask_outbox.delivery')",
    ],
)
def test_an_upward_arrow_is_found(tmp_path: Path, text: str) -> None:
    line = text.count("\n") + 1
    assert (
        f"errors:{line} (floor 0) imports delivery on floor 1: an upward arrow"
    ) in faults_of(tmp_path, errors=text)


def test_an_upward_arrow_inside_one_package_is_found(tmp_path: Path) -> None:
    assert (
        "outbox.schema:1 (floor 2) imports outbox.store on floor 3: an upward arrow"
    ) in faults_of(tmp_path, outbox_schema="from .store import Outbox")


def test_an_upward_arrow_to_the_public_names_is_found(tmp_path: Path) -> None:
    assert (
        "runtime:1 (floor 6) imports __init__ on floor 9: an upward arrow"
    ) in faults_of(tmp_path, runtime="from . import Mail")


def test_a_neighbour_in_another_package_is_found(tmp_path: Path) -> None:
    assert faults_of(tmp_path, lane="from .attempt import Attempt", attempt="") == [
        "lane:1 (floor 4) imports attempt on its own floor, from another package"
    ]


def test_a_cycle_inside_one_package_is_found(tmp_path: Path) -> None:
    assert faults_of(tmp_path, outbox_claims="from .store import Outbox") == [
        "a cycle of imports: outbox.store -> outbox.claims -> outbox.store"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "import flask",
        "from flask.views import View",
        "import os, werkzeug.local",
        "import click as c",
    ],
)
def test_flask_below_its_floor_is_found(tmp_path: Path, text: str) -> None:
    (fault,) = faults_of(tmp_path, outbox_store=text)
    assert fault.startswith("outbox.store:1 (floor 3) imports ")
    assert fault.endswith(": only floor 7 and above may")


def test_celery_outside_its_engine_is_found(tmp_path: Path) -> None:
    late = "def f():\n    from celery.signals import worker_ready"
    assert faults_of(tmp_path, extension=late) == [
        "extension:2 (floor 8) imports celery: only engines may"
    ]
    assert faults_of(tmp_path, engines_celery="import celery, kombu") == []


def test_a_similar_name_is_not_flask(tmp_path: Path) -> None:
    assert faults_of(tmp_path, errors="import flaskless\nimport asyncclick") == []


def test_a_module_without_a_floor_is_found(tmp_path: Path) -> None:
    assert faults_of(tmp_path, utils="") == ["utils has no floor: name it in FLOORS"]


def test_an_import_of_nothing_is_found(tmp_path: Path) -> None:
    assert faults_of(tmp_path, cli="from .nowhere import x") == [
        "cli:1 (floor 7) imports nowhere.x, which has no floor"
    ]


def test_a_missing_docstring_is_found(tmp_path: Path) -> None:
    files = {"__init__.py": '"""Said."""', "errors.py": "x = 1", "_own.py": "x = 1"}
    assert missing_docstrings(tree(tmp_path, files)) == ["errors has no docstring"]


def test_a_long_file_and_a_long_function_are_found(tmp_path: Path) -> None:
    said = '        """\n' + "        Said.\n" * 50 + '        """\n'
    files = {
        "errors.py": "x = 1\n" * (FILE_LINES + 1),
        "backoff.py": "x = 1\n" * FILE_LINES,
        "events.py": "class C:\n"
        + "    async def f():\n"
        + "        pass\n" * FUNCTION_LINES
        + "    def g():\n"
        + said
        + "        pass\n" * (FUNCTION_LINES - 1),
    }
    assert lengths(tree(tmp_path, files)) == {
        "errors": FILE_LINES + 1,
        "events:C.f": FUNCTION_LINES + 1,
    }
