"""The plugin in a user's test suite: what is there, and what a failed test shows."""

from __future__ import annotations

import pytest

from tests.testing.running import TestRun

SHOP = """
import pytest
from flask import Flask
from flask_outbox import Mail, Message

app = Flask("shop")
app.config.update(TESTING=True, MAIL_DEFAULT_SENDER="shop@example.com")
mail = Mail(app)

@app.post("/orders/<number>")
def order(number):
    thanks = f"Dear Ada,\\nThanks for your order {number}.\\n"
    mail.send(
        Message(f"Your order {number}", ["ada@example.org"], thanks), tag="receipts"
    )
    mail.send(Message("New order", ["office@example.com"], f"It is {number}.\\n"))
    return "", 202

@pytest.fixture
def client():
    return app.test_client()
"""

FAILING = """
import re
import smtplib
from pathlib import Path

def test_difference(client, outbox):
    client.post("/orders/17")
    outbox.assert_sent(
        to="ada@example.org",
        subject="Your order 18",
        contains="Thank you for your order",
        tag="receipts",
    )

def test_number(client, outbox):
    client.post("/orders/17")
    outbox.assert_sent(to=re.compile("example.org"), count=2)

def test_too_much(client, outbox):
    client.post("/orders/17")
    outbox.assert_nothing_sent()

def test_nothing(outbox):
    outbox.last

def test_otherwise(client, outbox):
    assert client.post("/orders/17").status_code == 200

def test_unreadable(client, outbox):
    client.post("/orders/17")
    runtime = outbox.last.app.extensions["outbox"].runtime
    runtime.outbox.database.close()
    Path(runtime.outbox.database.url.database).write_text("no database" * 99)
    assert False, "the reason"

def test_server(smtp_server):
    smtp_server.script("421 at the greeting; 451 on MAIL")
    with smtplib.SMTP() as client:
        client.connect(smtp_server.host, smtp_server.port)
    assert False, "the reason"

def test_unplayed(smtp_server):
    smtp_server.script("451 on MAIL")
"""

LISTED = """\
In the outbox:
  1  'Your order 17' to ada@example.org, pending, tag receipts
  2  'New order' to office@example.com, pending
"""

LOADING = """
import sys

LOADED = {name.partition(".")[0] for name in sys.modules}

def test_loaded(pytestconfig):
    assert pytestconfig.pluginmanager.hasplugin("flask_outbox")
    assert not LOADED & {"flask_outbox", "flask", "sqlalchemy", "aiosmtpd"}
"""


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> TestRun:
    """A user's tests that all fail, the last one at its end."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "conftest.py").write_text(SHOP)
    (folder / "test_shop.py").write_text(FAILING)
    run = TestRun(folder)
    assert run.outcomes == {"failed": 7, "passed": 1, "error": 1}, run.printed
    return run


def test_the_plugin_does_not_import_the_package(
    tmp_path_factory: pytest.TempPathFactory,
):
    """A user's every start of pytest, and coverage of ours, would pay for that."""
    folder = tmp_path_factory.mktemp("loading")
    (folder / "test_loading.py").write_text(LOADING)
    run = TestRun(folder)
    assert run.outcomes == {"passed": 1}, run.printed


def test_a_failure_marks_the_difference_to_the_most_similar_message(failing: TestRun):
    expected = """\
AssertionError: No message was sent with what was wanted:

    to         'ada@example.org'
  - subject    'Your order 18'
  ?                         ^
  +            'Your order 17'
  ?                         ^
  - contains   'Thank you for your order'
  +            'Thanks for your order 17.'
    tag        'receipts'

(- wanted, + what message 1, the nearest, has instead)

"""
    printed = failing.failure_of("test_difference")
    assert expected + LISTED in printed
    assert printed.count("In the outbox:") == 1


def test_a_wrong_count_is_reported(failing: TestRun):
    expected = """\
AssertionError: 1 message sent with what was wanted, not 2:

    to         /example.org/

"""
    assert expected + LISTED in failing.failure_of("test_number")


def test_unexpected_mail_is_listed(failing: TestRun):
    expected = "AssertionError: Messages 1 and 2 were sent, and none was wanted.\n\n"
    assert expected + LISTED in failing.failure_of("test_too_much")


def test_a_missing_message_is_reported(failing: TestRun):
    expected = "AssertionError: No message was sent.\n\nIn the outbox:\n  nothing\n"
    assert expected in failing.failure_of("test_nothing")


def test_any_other_failure_shows_the_mail(failing: TestRun):
    assert f" Mail {'-' * 37}\n{LISTED}" in failing.failure_of("test_otherwise")


def test_an_outbox_that_cannot_be_read_hides_no_failure(failing: TestRun):
    printed = failing.failure_of("test_unreadable")
    assert "AssertionError: the reason" in printed
    assert "\nThe outbox could not be read: " in printed


def test_a_failure_shows_the_servers_dialogue(failing: TestRun):
    printed = failing.failure_of("test_server")
    shown = printed.partition(f" Mail server {'-' * 34}\n")[2].splitlines()
    assert shown[0].startswith("At the mail server 127.0.0.1:")
    assert shown[1:] == [
        "   (connection 1)",
        "S: 421 4.0.0 Not now, says the script",
    ]
    assert "never used" not in printed


def test_an_unused_script_is_an_error(failing: TestRun):
    printed = failing.failure_of("ERROR at teardown of test_unplayed")
    assert printed.startswith(
        "The script's rule '451 on MAIL' was never used.\n\n"
        "At the mail server 127.0.0.1:"
    )
