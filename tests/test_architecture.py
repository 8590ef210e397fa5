"""The house: each layer imports only itself and those before it, without a cycle.

The rules are written as functions of a folder of sources, so that the tests at the end
can show, on small trees that break them, that each rule is able to fail.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import check_not_fast

PROJECT = Path(__file__).parents[1]
SOURCE = PROJECT / "src" / "flask_outbox"

LAYERS = (
    {
        "alerts", "bounce_address", "checks", "concurrency", "config", "counters",
        "delivery", "dkim", "erased_address", "errors", "events", "feedback",
        "humanize", "limits", "log_context", "message", "mime", "oauth", "phrases",
        "previews", "recipient_guard", "signals", "trace_context", "webhooks",
    },
    {"outbox", "transports"},
    {"courier", "history", "metrics", "sending", "status", "traces"},
    {"actions", "doctor", "engines", "health", "intake", "runtime"},
    {
        "__init__", "app_state", "cli", "dashboard", "demo", "extension", "flask_mail",
        "event_routes", "health_routes", "local_requests", "log", "metrics_routes",
        "mounting", "templating", "testing", "unsubscribe", "words",
    },
)  # fmt: skip
"""The five layers: core, stores and transports, sending, running, and Flask's faces."""

NAMES = ("core", "outbox and transports", "sending and courier", "engines", "faces")

FACES = {"outbox": {"outbox", "outbox.records", "outbox.session", "outbox.transfer"}}
"""Package → the modules of it that other packages may import."""

WEB = {"flask", "werkzeug", "click"}
CELERY = {"celery", "kombu", "billiard", "amqp"}
CELERY_MODULE = "engines.celery"

AT_START = {
    "alerts", "app_state", "bounce_address", "cli", "cli.group", "concurrency",
    "config", "delivery", "dkim", "erased_address", "errors", "events", "extension",
    "feedback", "feedback.fate", "feedback.rules", "humanize", "limits", "log",
    "log_context", "message", "outbox", "outbox.database_errors", "outbox.dialects",
    "outbox.ids", "phrases", "previews", "recipient_guard", "sending",
    "sending.announce", "sending.batch", "sending.feedback_headers",
    "sending.interceptors", "sending.options", "signals",
    "templating", "templating.message", "trace_context", "transports",
    "transports.base", "transports.resolver", "unsubscribe", "unsubscribe.links",
    "webhooks", "webhooks.addresses", "webhooks.kinds",
}  # fmt: skip
"""What ``import flask_outbox`` may load of its own, for each web worker pays for it."""

WHOLE_AT_START = {"config", "message"}
"""The packages in it of which any module may be loaded."""

OTHERS_AT_START = {"blinker", "concurrent", "queue", "sqlite3"}
"""What else it may load that Flask and SQLAlchemy do not."""


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
        modules[name] = Module(name, package, _parsed(text), len(text.splitlines()))
    return modules


@cache
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


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


def layer_of(name: str) -> int | None:
    top = name.partition(".")[0]
    return next((at for at, layer in enumerate(LAYERS) if top in layer), None)


# ------------------------------------------------------------------------- the rules


def import_faults(root: Path) -> list[str]:
    """Each import that breaks a rule, in words."""
    modules = read_tree(root)
    faults = []
    graph: dict[str, set[str]] = {}
    for module in modules.values():
        imports = imports_of(module, root.name, modules)
        graph[module.name] = {one.target for one in imports if one.ours}
        if layer_of(module.name) is None:
            faults.append(f"{module.name} is in no layer: name it in LAYERS")
            continue
        for one in imports:
            fault = _fault(module.name, one)
            if fault:
                faults.append(f"{module.name}:{one.line} imports {one.target}: {fault}")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        faults.append("a cycle of imports: " + " -> ".join(reversed(error.args[1])))
    return faults


def _fault(name: str, one: Import) -> str | None:
    if not one.ours:
        return _foreign_fault(name, one.target.partition(".")[0])
    here, there = layer_of(name), layer_of(one.target)
    if there is None:
        return "it is in no layer"
    assert here is not None
    if there > here:
        return f"{NAMES[there]} come after {NAMES[here]}"
    if _is_private(one.target) and not _shares_package(name, one.target):
        return "it is private to its package"
    package = one.target.partition(".")[0]
    if package != name.partition(".")[0] and one.target not in FACES.get(
        package, {one.target}
    ):
        return f"other packages import {package} or what FACES names"
    return None


def _foreign_fault(name: str, top: str) -> str | None:
    if top in WEB and layer_of(name) != len(LAYERS) - 1:
        return "only Flask's faces may"
    if top in CELERY and name != CELERY_MODULE:
        return f"only {CELERY_MODULE} may"
    return None


def _shares_package(name: str, private: str) -> bool:
    """Whether ``name`` is in the package that ``private`` belongs to."""
    parts = private.split(".")
    at = next(at for at, part in enumerate(parts) if part.startswith("_"))
    return name.split(".")[:at] == parts[:at]


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


def loaded_at_start(source: Path) -> set[str]:
    """The modules that ``import flask_outbox`` adds to Flask's and SQLAlchemy's."""
    script = (
        "import sys, flask, sqlalchemy; before = {*sys.modules}; import flask_outbox; "
        "print(*(sys.modules.keys() - before))"
    )
    environment = {**os.environ, "PYTHONPATH": str(source.parent)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stdout.split())


def budget_faults(loaded: set[str]) -> list[str]:
    """What is loaded at the start and may not be, in words."""
    return [f"{one} is loaded at the start" for one in sorted(loaded) if _late(one)]


def _late(module: str) -> bool:
    top, _, own = module.partition(".")
    if top != SOURCE.name:
        return top.lstrip("_") not in OTHERS_AT_START
    package = own.partition(".")[0]
    return bool(own) and own not in AT_START and package not in WHOLE_AT_START


STATE_WRITER = "outbox.states"
"""The module that changes the states of messages; it knows which may follow which."""


def state_writers(root: Path) -> list[str]:
    """Each place of the outbox, outside `STATE_WRITER`, that changes a message's state.

    Other packages cannot: they import neither tables nor statements.
    """
    return [
        f"{name}:{node.lineno} changes a state: {STATE_WRITER} does"
        for name, module in read_tree(root).items()
        if name.startswith("outbox.") and name != STATE_WRITER
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and _changes_state(node)
    ]


def _changes_state(call: ast.Call) -> bool:
    match call:
        case ast.Call(func=ast.Attribute(attr="values", value=statement)):
            names = {one.arg for one in call.keywords} | _strings(*call.args)
            return "state" in names and any(map(_updates_messages, ast.walk(statement)))
        case ast.Call(func=ast.Name(id="RowsUpdate"), args=[table, *_]):
            values = [one.value for one in call.keywords if one.arg == "values"]
            return _is_messages(table) and "state" in _strings(*values)
    return False


def _updates_messages(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="update"), args=[table]):
            return _is_messages(table)
        case ast.Call(func=ast.Attribute(attr="update", value=table)):
            return _is_messages(table)
    return False


def _is_messages(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "message"


def _strings(*nodes: ast.AST) -> set[object]:
    inside = [one for node in nodes for one in ast.walk(node)]
    return {one.value for one in inside if isinstance(one, ast.Constant)}


_PATH = re.compile(r"(?<![\w./~:$-])(?:(?:[\w-]+/)+[\w.-]*|\w+\.py\b)(?<![.])")


def missing_paths(text: str) -> list[str]:
    """The files and folders that ``text`` names and that are not there.

    They start from the project or from the package.
    """
    return sorted(
        name
        for name in set(_PATH.findall(text))
        if not (PROJECT / name).exists() and not (SOURCE / name).exists()
    )


# ------------------------------------------------------------------- our own sources


def test_imports_go_down() -> None:
    faults = import_faults(SOURCE)
    assert not faults, "\n".join(["", *faults])


def test_states_are_changed_in_one_place() -> None:
    faults = state_writers(SOURCE)
    assert not faults, "\n".join(["", *faults])


def test_public_modules_have_a_docstring() -> None:
    faults = missing_docstrings(SOURCE)
    assert not faults, "\n".join(["", *faults])


@pytest.mark.parametrize("file", ["CONTRIBUTING.md", "scripts/core"])
def test_every_path_in_the_documents_exists(file: str) -> None:
    text = (PROJECT / file).read_text(encoding="utf-8")
    assert missing_paths(text) == []


def test_every_entry_of_not_fast_exists() -> None:
    check_not_fast(PROJECT / "tests")


def test_the_package_loads_no_more_than_it_needs() -> None:
    faults = budget_faults(loaded_at_start(SOURCE))
    assert not faults, "\n".join(["", *faults])


# --------------------------------------------------------- the rules are able to fail

GOOD = {
    "errors.py": "import enum",
    "delivery.py": "from .errors import OutboxError",
    "outbox/__init__.py": "from .outbox import Outbox",
    "outbox/schema.py": "from ..delivery import State",
    "outbox/outbox.py": "from . import schema\nfrom .claim import claim",
    "outbox/claim.py": "from flask_outbox.outbox.schema import message",
    "outbox/records.py": "",
    "outbox/migrations/versions/0001_first.py": "from ...schema import message",
    "runtime.py": "from .outbox import Outbox\nfrom .outbox.records import Claim",
    "cli.py": "import click\nfrom .runtime import Runtime",
    "extension.py": "from flask import Flask\nfrom . import runtime, errors",
    "__init__.py": "from .extension import Mail",
    "demo/__init__.py": "",
    "demo/__main__.py": "from .app import app",
    "demo/_page.py": "",
    "demo/app.py": "import flask\nfrom flask_outbox import Mail\nfrom ._page import x",
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
    """The faults of the good tree after files were changed: ``outbox_outbox="…"``."""
    paths = {
        path.removesuffix(".py").replace("/", "_"): path
        for path in [*GOOD, "engines/celery.py", "engines/thread.py", "utils.py"]
    }
    files = GOOD | {paths[name]: text for name, text in changed.items()}
    return import_faults(tree(tmp_path, files))


def test_a_good_tree_has_no_faults(tmp_path: Path) -> None:
    assert faults_of(tmp_path) == []


@pytest.mark.parametrize(
    "text",
    [
        "from .runtime import Runtime",
        "from . import runtime",
        "import flask_outbox.runtime",
        "from flask_outbox import runtime",
        "from flask_outbox.runtime import *",
        "def f():\n    from .runtime import Runtime",
        "if TYPE_CHECKING:\n    from .runtime import Runtime",
        "importlib.import_module('.runtime', __package__)",
        "__import__('flask_outbox.runtime')",
    ],
)
def test_an_import_of_a_later_layer_is_found(tmp_path: Path, text: str) -> None:
    line = text.count("\n") + 1
    assert (f"delivery:{line} imports runtime: engines come after core") in faults_of(
        tmp_path, delivery=text
    )


def test_an_import_of_the_public_names_is_found(tmp_path: Path) -> None:
    assert "runtime:1 imports __init__: faces come after engines" in faults_of(
        tmp_path, runtime="from . import Mail"
    )


def test_a_cycle_inside_one_package_is_found(tmp_path: Path) -> None:
    assert faults_of(tmp_path, outbox_claim="from .outbox import Outbox") == [
        "a cycle of imports: outbox.outbox -> outbox.claim -> outbox.outbox"
    ]


def test_a_cycle_inside_one_layer_is_found(tmp_path: Path) -> None:
    assert faults_of(tmp_path, errors="from .delivery import State") == [
        "a cycle of imports: delivery -> errors -> delivery"
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
@pytest.mark.parametrize("module", ["delivery", "outbox_outbox", "engines_thread"])
def test_an_import_of_flask_below_the_faces_is_found(
    tmp_path: Path, module: str, text: str
) -> None:
    (fault,) = faults_of(tmp_path, **{module: text})
    assert fault.startswith(f"{module.replace('_', '.')}:1 imports ")
    assert fault.endswith(": only Flask's faces may")


def test_an_import_of_celery_outside_its_engine_is_found(tmp_path: Path) -> None:
    late = "def f():\n    from celery.signals import worker_ready"
    assert faults_of(tmp_path, extension=late) == [
        "extension:2 imports celery.signals.worker_ready: only engines.celery may"
    ]
    assert faults_of(tmp_path, engines_thread="import kombu") == [
        "engines.thread:1 imports kombu: only engines.celery may"
    ]
    fine = {"engines_celery": "import celery, kombu", "engines_thread": ""}
    assert faults_of(tmp_path, extension="", **fine) == []


def test_a_similar_name_is_not_flask(tmp_path: Path) -> None:
    assert faults_of(tmp_path, errors="import flaskless\nimport asyncclick") == []


def test_an_import_of_a_private_module_is_found(tmp_path: Path) -> None:
    assert faults_of(tmp_path, extension="from .demo._page import x") == [
        "extension:1 imports demo._page: it is private to its package"
    ]


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("from .outbox.schema import message", "outbox.schema"),
        ("from .outbox import schema", "outbox.schema"),
        ("import flask_outbox.outbox.outbox", "outbox.outbox"),
    ],
)
def test_an_import_past_a_packages_face_is_found(
    tmp_path: Path, text: str, target: str
) -> None:
    assert faults_of(tmp_path, runtime=text) == [
        f"runtime:1 imports {target}: other packages import outbox or what FACES names"
    ]


def test_a_module_in_no_layer_is_found(tmp_path: Path) -> None:
    assert faults_of(tmp_path, utils="") == ["utils is in no layer: name it in LAYERS"]


def test_an_import_of_a_missing_module_is_found(tmp_path: Path) -> None:
    assert faults_of(tmp_path, cli="from .nowhere import x") == [
        "cli:1 imports nowhere.x: it is in no layer"
    ]


def test_a_missing_docstring_is_found(tmp_path: Path) -> None:
    files = {"__init__.py": '"""Said."""', "errors.py": "x = 1", "_own.py": "x = 1"}
    assert missing_docstrings(tree(tmp_path, files)) == ["errors has no docstring"]


def test_a_module_that_is_loaded_at_the_start_is_found(tmp_path: Path) -> None:
    files = {
        "__init__.py": "import alembic\nfrom . import cli, dashboard",
        "dashboard/__init__.py": "from . import pages",
        "dashboard/pages.py": "",
        "cli/__init__.py": "from . import group, move",
        "cli/group.py": "",
        "cli/move.py": "",
    }
    faults = budget_faults(loaded_at_start(tree(tmp_path, files)))
    assert "alembic is loaded at the start" in faults
    assert [one for one in faults if one.startswith("flask_outbox")] == [
        "flask_outbox.cli.move is loaded at the start",
        "flask_outbox.dashboard is loaded at the start",
        "flask_outbox.dashboard.pages is loaded at the start",
    ]


def test_another_writer_of_states_is_found(tmp_path: Path) -> None:
    text = (
        "update(message).where(x).values(state='sent')\n"
        "message.update().values({'state': 'sent'})\n"
        "RowsUpdate(message, keys=('id',), values=('state', 'due_at'))\n"
        "update(message).values(due_at=0)\n"
        "update(recipient).values(state='sent')\n"
        "RowsUpdate(message, keys=('id',), values=('subject',))\n"
    )
    files = {"outbox/states.py": text, "outbox/claim.py": text}
    assert state_writers(tree(tmp_path, files)) == [
        f"outbox.claim:{line} changes a state: outbox.states does" for line in (1, 2, 3)
    ]


def test_a_path_that_does_not_exist_is_found() -> None:
    text = "`outbox/claim.py`, `tests/`, extension.py, `cli/nowhere.py`, gone.py, `no/`"
    assert missing_paths(text) == ["cli/nowhere.py", "gone.py", "no/"]


def test_an_entry_of_not_fast_that_does_not_exist_is_found(
    tmp_path: Path,
) -> None:
    with pytest.raises(pytest.UsageError, match="'crash'"):
        check_not_fast(tmp_path)
