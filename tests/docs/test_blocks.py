"""Every page: what its code blocks name exists, and they are written as they must be.

Python's are checked by mypy. Of the shell's, our commands are parsed and our extras
looked up; what other programs take is not checked, nor are blocks of ``text``.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from click import ClickException, Command, Context, Group
from jinja2 import Environment

from flask_outbox.cli import outbox_commands
from flask_outbox.config import KEYS
from tests.docs.blocks import DOCS, PAGES, Block, blocks
from tests.processes.running import ROOT

EVERY = [block for page in PAGES for block in blocks(page)]
CHECK_SECONDS = 600.0


def is_run(block: Block) -> bool:
    """Whether another test of this folder runs the block, as a file."""
    folder = block.page.partition("/")[0]
    return folder in ("tutorial", "deploy") and "caption" in block.options


def named(block: Block) -> str:
    """The block as a module."""
    return re.sub(r"\W", "_", f"{block.page}_{block.line}")


def test_the_python_of_pages_has_no_type_errors(tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "__init__.py").touch()
    for block in EVERY:
        if block.language == "python" and not is_run(block):
            given = "from tests.docs.given import *\n"
            (folder / f"{named(block)}.py").write_text(given + block.code)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--package=pages"],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=CHECK_SECONDS,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


RUN_BY_TESTS = {
    "contrib": "contrib/test_commands.py",
    "docs/bounces": "cli/test_feedback.py",
    "docs/events": "provider_events/test_docs.py",
    "docs/mail": "templates/test_components.py",
    "docs/migrating/code": "migrating/test_pages.py",
    "docs/testing": "testing/test_docs.py",
    "docs/traces": "traces/test_spans.py",
    "docs/webhooks": "webhooks/test_docs.py",
    "examples/newsletter": "examples/test_newsletter.py",
    "examples/password_reset": "examples/test_password_reset.py",
    "examples/receipts": "examples/test_receipts.py",
}
"""Folders with files that pages show, and the test that runs these."""


def test_each_file_that_a_page_shows_is_run_by_a_test() -> None:
    for page in PAGES:
        path = DOCS / f"{page}.rst"
        shown = re.findall(r"literalinclude:: (\S+)", path.read_text(encoding="utf-8"))
        for name in shown:
            file = (path.parent / name).resolve().relative_to(ROOT).as_posix()
            tests = [test for at, test in RUN_BY_TESTS.items() if file.startswith(at)]
            assert tests, f"{page}.rst: {name}"
    assert all((ROOT / "tests" / test).exists() for test in RUN_BY_TESTS.values())


def test_each_setting_in_python_exists() -> None:
    known = {key.name for key in KEYS}
    for block in EVERY:
        if block.language == "python":
            found = re.findall(r'\[?"((?:OUTBOX|MAIL)_[A-Z_]+)"', block.code)
            found += re.findall(r"\b((?:OUTBOX|MAIL)_[A-Z_]+)=", block.code)
            assert known.issuperset(found), str(block)


@pytest.fixture
def files_of_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the files that commands read."""
    (tmp_path / "readers.csv").write_text("email\nada@example.org\n")
    (tmp_path / "suppressions.csv").write_text("address\nada@example.org\n")
    monkeypatch.chdir(tmp_path)


def test_each_command_of_ours_takes_its_arguments(files_of_the_reader: None) -> None:
    parsed = 0
    for block in EVERY:
        for command in block.commands if block.language == "console" else ():
            found = re.search(r"\bflask (?:--app \S+ )?outbox (.+)", command)
            if found:
                words = shlex.split(re.split(" [<>] ", found[1])[0])
                parse(outbox_commands, words, f"{block}: {command}")
                parsed += 1
    assert parsed > 40


def parse(command: Command, words: list[str], where: str) -> None:
    """Have Click read the words, down to the last group; nothing is run."""
    parent: Context | None = None
    while words and isinstance(command, Group):
        inner = command.get_command(Context(command), words[0])
        assert inner is not None, where
        parent = Context(command, parent, info_name=command.name)
        command, words = inner, words[1:]
    try:
        command.make_context(command.name, words, parent).close()
    except ClickException as error:
        pytest.fail(f"{where}: {error.format_message()}")


def test_each_extra_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for page in PAGES:
        text = (ROOT / "docs" / f"{page}.rst").read_text(encoding="utf-8")
        for extras in re.findall(r"flask-outbox\[([a-z,]+)\]", text):
            assert project["optional-dependencies"].keys() >= set(extras.split(","))


def read_ini(text: str) -> Any:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.read_string(text if "[" in text else f"[all]\n{text}")


read_jinja = Environment(autoescape=True, extensions=["jinja2.ext.i18n"]).parse

READERS: dict[str, Callable[[str], Any]] = {
    "html+jinja": read_jinja,
    "ini": read_ini,
    "jinja": read_jinja,
    "json": json.loads,
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
}
CHECKED = READERS.keys() | {"python", "console"}
NOT_CHECKED = {"docker", "text"}


def test_each_other_block_can_be_read() -> None:
    for block in EVERY:
        assert block.language in CHECKED | NOT_CHECKED, str(block)
        if read := READERS.get(block.language):
            try:
                read(block.code)
            except Exception as error:
                pytest.fail(f"{block}: {error}")
