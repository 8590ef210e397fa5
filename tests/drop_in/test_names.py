"""Name by name: what Flask-Mail has is here, or the documentation says why not."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import blinker
import pytest
from flask import Flask

from flask_outbox.config import KEYS
from tests.drop_in.peers import flask_mail, ours

PAGE = Path(__file__).parents[2] / "docs" / "migrating" / "flask-mail.rst"
MISSING = {"Connection.configure_host", "flask_mail.__version__"}

CLASSES = ("Attachment", "Connection", "Mail", "Message")
FUNCTIONS = ("force_text", "sanitize_address", "sanitize_addresses", "sanitize_subject")
KEY = re.compile(r'"(MAIL_[A-Z_]+)"')


def public(of: Any) -> set[str]:
    return {name for name in dir(of) if not name.startswith("_")}


def own_names(module: Any) -> Iterator[str]:
    """The public names that it defines itself, its signals among them."""
    for name in public(module):
        value = getattr(module, name)
        is_signal = isinstance(value, blinker.Namespace | blinker.NamedSignal)
        if is_signal or getattr(value, "__module__", None) == module.__name__:
            yield name


def parameters(of: Any) -> list[tuple[str, Any]]:
    """What may be passed by position, in order, with the defaults."""
    return [
        (one.name, one.default)
        for one in inspect.signature(of).parameters.values()
        if one.kind is one.POSITIONAL_OR_KEYWORD
    ]


def differences() -> str:
    text = PAGE.read_text(encoding="utf-8")
    return text.partition(".. _differences:")[2].partition("Libraries that")[0]


def test_the_module_has_every_name_of_flask_mail() -> None:
    names = set(own_names(flask_mail))
    assert {*CLASSES, *FUNCTIONS, "signals", "BadHeaderError"} <= names
    assert names <= set(ours.__all__)


@pytest.mark.parametrize("name", CLASSES)
def test_each_class_has_every_name_of_flask_mails(name: str) -> None:
    missing = public(getattr(flask_mail, name)) - public(getattr(ours, name))
    assert {f"{name}.{one}" for one in missing} <= MISSING


def test_every_missing_name_is_documented() -> None:
    documented = differences()
    for name in MISSING:
        assert f"``{name}``" in documented, name
        assert not hasattr(ours, name.rpartition(".")[2])


def test_objects_have_every_attribute_of_flask_mails(app: Flask) -> None:
    theirs_mail, our_mail = flask_mail.Mail(app), ours.Mail(app)
    with app.app_context():
        for theirs, mine in [
            (theirs_mail, our_mail),
            (flask_mail.Message("Hello"), ours.Message("Hello")),
            (flask_mail.Attachment(data=b""), ours.Attachment(data=b"")),
            (theirs_mail.connect(), our_mail.connect()),
            (theirs_mail.state, our_mail.state),
        ]:
            for name in {*vars(theirs), *public(theirs)}:
                known = hasattr(mine, name)
                assert known or f"{type(mine).__name__}.{name}" in MISSING, name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_flask_mails_parameters(name: str) -> None:
    assert parameters(getattr(ours, name)) == parameters(getattr(flask_mail, name))


@pytest.mark.parametrize("name", CLASSES)
def test_classes_and_methods_have_flask_mails_parameters(name: str) -> None:
    theirs, mine = getattr(flask_mail, name), getattr(ours, name)
    assert parameters(mine) == parameters(theirs)
    for method in public(theirs) & public(mine):
        if inspect.isfunction(getattr(theirs, method)):
            assert parameters(getattr(mine, method)) == parameters(
                getattr(theirs, method)
            ), method


def test_every_setting_of_flask_mail_is_known() -> None:
    names = set(KEY.findall(inspect.getsource(flask_mail.Mail)))
    assert len(names) == 11
    assert names <= {key.name for key in KEYS}


def test_every_setting_is_in_the_documentations_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    table = text.partition("Settings\n---")[2].partition(".. _differences:")[0]
    for name in KEY.findall(inspect.getsource(flask_mail.Mail)):
        assert f":confval:`{name}`" in table, name


def test_exceptions_have_flask_mails_base_classes() -> None:
    assert issubclass(ours.BadHeaderError, Exception)
    assert issubclass(ours.AddressMissing, AssertionError)
    assert issubclass(ours.FlaskMailUnicodeDecodeError, UnicodeDecodeError)
