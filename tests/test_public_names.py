"""The names that `flask_outbox` offers, whether or not they are imported already."""

from __future__ import annotations

import ast
from pathlib import Path

import flask_outbox


def test_every_public_name_is_listed():
    assert set(flask_outbox.__all__) <= set(dir(flask_outbox))


def test_every_public_name_can_be_imported_with_a_star():
    namespace: dict[str, object] = {}
    exec("from flask_outbox import *", namespace)
    assert set(flask_outbox.__all__) <= set(namespace)


def test_type_checkers_see_no_function_that_allows_any_name():
    for file in Path(flask_outbox.__file__).parent.rglob("*.py"):
        for one in ast.parse(file.read_bytes()).body:
            seen = isinstance(one, ast.FunctionDef) and one.name == "__getattr__"
            assert not seen, f"{file}: misspelt names of it would pass a type checker"
