"""``docs/errors.rst``: a section for each error, which the error names."""

from __future__ import annotations

import pickle
import re
import traceback

import pytest

from flask_outbox import Address, AddressError, OutboxUnavailable, errors
from flask_outbox.flask_mail import BadHeaderError
from tests.docs.blocks import DOCS

SECTIONS = re.findall(
    r"^(\w+)\n~+$", (DOCS / "errors.rst").read_text(encoding="utf-8"), re.MULTILINE
)


def test_each_error_has_a_section_and_each_section_an_error() -> None:
    classes = [
        one.__name__
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.OutboxError)
    ]
    assert sorted(SECTIONS) == sorted(classes)


def test_a_traceback_names_the_section_and_the_text_does_not() -> None:
    with pytest.raises(AddressError) as caught:
        Address.parse("nobody", "recipients[0]")
    *_, last = traceback.format_exception(caught.value)
    assert caught.value.section == "errors.html#addresserror"
    assert last.startswith("See errors.html#addresserror")
    assert "errors.html" not in str(caught.value)


def test_an_error_of_a_subclass_names_the_section_of_its_base() -> None:
    assert BadHeaderError().section == "errors.html#headererror"


def test_notes_of_others_stand_below_and_are_kept() -> None:
    error = OutboxUnavailable("The disk is full.")
    error.add_note("It was the order's mail.")
    for one in (error, pickle.loads(pickle.dumps(error))):
        first, second = one.__notes__
        assert first.startswith("See errors.html#outboxunavailable")
        assert second == "It was the order's mail."
