"""``docs/errors.rst``: a section for each error, which the error names."""

from __future__ import annotations

import pickle
import re
import traceback
from pathlib import Path

import pytest
from flask import Flask

from flask_outbox import (
    Address,
    AddressError,
    ConfigError,
    Mail,
    Message,
    MessageError,
    OutboxUnavailable,
    errors,
)
from flask_outbox.flask_mail import BadHeaderError
from flask_outbox.flask_mail.compat import as_flask_mail_error
from flask_outbox.outbox import Database
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


def test_an_error_of_a_setting_names_where_that_is_explained() -> None:
    app = Flask("shop")
    app.config["MAIL_PORT"] = "no port"
    with pytest.raises(ConfigError) as caught:
        Mail(app)
    assert caught.value.key == "MAIL_PORT"
    assert caught.value.section == "configuration.html#confval-MAIL_PORT"


def test_a_setting_that_does_not_exist_is_not_said_to_be_explained() -> None:
    app = Flask("shop")
    app.config["OUTBOX_ENGIN"] = "thread"
    with pytest.raises(ConfigError) as caught:
        Mail(app)
    assert caught.value.key is None
    assert caught.value.section == "errors.html#configerror-unknown"


def test_the_value_of_a_setting_is_not_taken_for_one() -> None:
    error = ConfigError("There is no transport 'MAIL_TO_ADA': set MAIL_TRANSPORTS.")
    assert error.key == "MAIL_TRANSPORTS"


def test_an_error_of_the_database_names_its_cause(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("These are notes, and no database at all.\n" * 100)
    database = Database(f"sqlite:///{notes}")
    with pytest.raises(OutboxUnavailable) as caught:
        database.version()
    database.close()
    for one in (
        caught.value,
        pickle.loads(pickle.dumps(caught.value)),
        as_flask_mail_error(caught.value),
    ):
        assert one.section == "errors.html#outboxunavailable-no-database"


def test_what_a_transport_cannot_send_is_told_from_what_nobody_can(
    tmp_path: Path,
) -> None:
    app = Flask("shop", instance_path=str(tmp_path))
    app.config.update(MAIL_URL="resend://KEY@", MAIL_DEFAULT_SENDER="shop@example.com")
    mail = Mail(app)
    message = Message("Hello", ["ada@example.org"], "Hello!")
    message.attach("nameless", "text/plain", b"Hello!")
    with app.app_context(), pytest.raises(MessageError) as caught:
        mail.send_now(message)
    for one in (caught.value, as_flask_mail_error(caught.value)):
        assert one.section == "errors.html#messageerror-transport"


def test_notes_of_others_stand_below_and_are_kept() -> None:
    error = OutboxUnavailable("The disk is full.")
    error.add_note("It was the order's mail.")
    for one in (error, pickle.loads(pickle.dumps(error))):
        first, second = one.__notes__
        assert first.startswith("See errors.html#outboxunavailable")
        assert second == "It was the order's mail."
