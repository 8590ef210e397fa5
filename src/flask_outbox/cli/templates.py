"""``flask outbox templates new``: the files that a new mail begins with."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

import click
from flask import Flask, current_app
from flask.cli import ScriptInfo

from ..templating.loader import FOLDER
from .output import say

_HTML = """\
{% extends "outbox/mail/layout.html" %}
{% from "outbox/mail/components.html" import button %}

{% block subject %}Hello, {{ name }}{% endblock %}
{% block preheader %}Write here what happened.{% endblock %}

{% block content %}
<h1 style="margin:0 0 16px;font-size:26px;line-height:32px;">Hello, {{ name }}</h1>
<p style="margin:0;">Write here what happened, and what to do now.</p>
{{ button("Do it now", url) }}
{% endblock %}
"""

_TEXT = """\
Hello, {{ name }}

Write here what happened, and what to do now.

Do it now: {{ url }}
"""

_MODULE = '''\
"""The mail ``$name``."""

from flask_outbox import Message


def $function(recipient: str, name: str, url: str) -> Message:
    """The mail for ``recipient``."""
    return Message.from_template("$name", [recipient], name=name, url=url)


def ${function}_preview(name: str = "Ada") -> Message:
    """The mail with made-up values, to look at it."""
    return $function("ada@example.org", name, "https://example.com/")
'''

_TEST = '''\
"""The mail ``$name``."""

import pytest
from flask.cli import ScriptInfo

from $module import ${function}_preview


@pytest.fixture
def app(monkeypatch):
    monkeypatch.setenv("FLASK_DEBUG", "1")  # an app in debug mode needs no mail server
    return ScriptInfo($app).load_app()


def test_$function(app):
    with app.test_request_context():
        message = ${function}_preview(name="Grace")
    assert message.subject == "Hello, Grace"
    for text in (message.body, message.html):
        assert "Hello, Grace" in text
        assert "https://example.com/" in text
'''

_NEXT = """
Next:
  1. Run its test (pip install pytest): python -m pytest $test
  2. Write the mail, its text and its HTML, which have the same variables, and what the
     test expects of them.
  3. Send it:
       from $module import $function
       mail.send($function(user.email, user.name, url))
  4. See it on the dashboard, below Previews. Where your app has its Mail, write:
       from $module import ${function}_preview
       mail.preview("$preview")(${function}_preview)
"""


@click.group("templates")
def templates() -> None:
    """Begin a new mail."""


@templates.command()
@click.argument("name")
@click.pass_context
def new(context: click.Context, name: str) -> None:
    """Write the templates of a new mail, with a preview and a test.

    NAME is what Message.from_template takes, such as welcome or orders/sent. Files that
    exist are never overwritten: then nothing is written.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_-]*(/[a-z][a-z0-9_-]*)*", name):
        raise click.BadParameter(
            f"{name!r} is not a name for a mail: take small letters, digits, '-' and "
            "'_', as in welcome or orders/sent.",
            param_hint="NAME",
        )
    mail = _NewMail.of(current_app, context.ensure_object(ScriptInfo), name)
    files = mail.files()
    if present := [path for path in files if path.exists()]:
        raise click.ClickException(
            f"There is {_listed(present)} already: choose another name, or move "
            f"{'it' if len(present) == 1 else 'them'} away. Nothing was written."
        )
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
        say(f"Wrote {_shown(path)}")
    say(mail.fill(_NEXT).rstrip())


@dataclass(frozen=True, slots=True)
class _NewMail:
    """Where the files of a new mail go, and what stands in them."""

    name: str
    templates: Path
    code: Path
    """The folder of the app's own modules."""
    tests: Path
    values: Mapping[str, str]

    @classmethod
    def of(cls, app: Flask, script: ScriptInfo, name: str) -> _NewMail:
        if app.template_folder is None:
            raise click.ClickException(
                f"The app {app.name!r} has no template folder: give it one, "
                "Flask(..., template_folder='templates')."
            )
        code, tests = Path(app.root_path), Path.cwd() / "tests"
        tests = tests if tests.is_dir() else code
        function = f"{re.sub(r'[/-]', '_', name)}_mail"
        package = getattr(sys.modules.get(app.import_name), "__package__", None)
        values = {
            "name": name,
            "function": function,
            "module": f"{package}.{function}" if package else function,
            "app": repr(_import_path(app, script)),
            "preview": name.replace("/", "-"),
            "test": _shown(tests / f"test_{function}.py"),
        }
        return cls(name, code / app.template_folder / FOLDER, code, tests, values)

    def files(self) -> dict[Path, str]:
        """The texts of the files, by their paths."""
        function = self.values["function"]
        return {
            self.templates / f"{self.name}.html": _HTML,
            self.templates / f"{self.name}.txt": _TEXT,
            self.code / f"{function}.py": self.fill(_MODULE),
            self.tests / f"test_{function}.py": self.fill(_TEST),
        }

    def fill(self, text: str) -> str:
        """``text`` with this mail's names."""
        return Template(text).substitute(self.values)


def _import_path(app: Flask, script: ScriptInfo) -> str | None:
    """What finds the app for ``flask --app``; None if that finds it by itself."""
    if script.create_app is not None:
        return app.import_name
    return script.app_import_path


def _shown(path: Path) -> str:
    return str(
        path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    )


def _listed(paths: list[Path]) -> str:
    return " and ".join(map(_shown, paths))
