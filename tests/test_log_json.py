"""The log as JSON: one object a line, with what it is about as fields."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from flask_outbox import Mail, log, signals
from flask_outbox.events import ATTEMPT_ENDS, AttemptEnd
from flask_outbox.log import JsonFormatter
from tests.cli.conftest import MakeShop, make_shop, server
from tests.test_log import END, ID, WORDS
from tests.waiting import WAIT_SECONDS

__all__ = ["make_shop", "server"]

FIELDS = ("message_id", "lane", "courier", "attempt", "batch")


def lines_of(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """What the records so far are as JSON, which is one line each."""
    lines = [JsonFormatter().format(one) for one in caplog.records]
    assert all(len(one.splitlines()) == 1 for one in lines)
    return [json.loads(one) for one in lines]


@pytest.fixture(autouse=True)
def everything(caplog: pytest.LogCaptureFixture) -> None:
    """Log all, to nowhere else."""
    log.listen()
    caplog.set_level(logging.DEBUG, "flask_outbox")
    caplog.set_level(logging.DEBUG, "flask_outbox.dialogue")


@pytest.mark.parametrize(
    ("signal", "payload"),
    [row[:2] for row in WORDS],
    ids=[f"{number}-{row[0].name}" for number, row in enumerate(WORDS)],
)
def test_what_a_signal_is_about_are_fields_of_its_line(
    caplog: pytest.LogCaptureFixture, signal: Any, payload: dict[str, Any]
) -> None:
    signals.emit(signal, Flask("shop"), **payload)
    lines = lines_of(caplog)
    assert lines
    for line in lines:
        assert line["app"] == "shop"
        about = {name: payload[name] for name in FIELDS if name in payload}
        assert {name: line[name] for name in FIELDS if name in line} == about


@pytest.mark.parametrize("end", ATTEMPT_ENDS.values(), ids=lambda end: end.kind)
def test_the_end_of_an_attempt_has_its_outcome(
    caplog: pytest.LogCaptureFixture, end: AttemptEnd
) -> None:
    signals.emit(end.signal, Flask("shop"), **END)
    (line,) = [one for one in lines_of(caplog) if "outcome" in one]
    assert line["outcome"] == end.kind.value
    assert line["level"] == logging.getLevelName(end.log_level)
    assert line["logger"] == "flask_outbox"
    assert line["message_id"] == ID
    age = datetime.now(UTC) - datetime.fromisoformat(line["time"])
    assert timedelta(0) - timedelta(seconds=1) < age < timedelta(seconds=WAIT_SECONDS)


def test_what_is_said_outside_signals_has_no_such_fields(
    caplog: pytest.LogCaptureFixture,
) -> None:
    signals.emit(signals.message_sent, Flask("shop"), **END)
    caplog.clear()
    logging.getLogger("flask_outbox").warning("Something else.")
    (line,) = lines_of(caplog)
    assert line.keys() == {"time", "level", "logger", "message"}


def test_an_exception_is_in_its_line_without_passwords(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = Flask("shop")

    def broken(_app: Flask, **_: object) -> None:
        raise ValueError("no such host: smtp://shop:hunter2@mail\nsecond line")

    with signals.message_cancelled.connected_to(broken, app):
        signals.emit(signals.message_cancelled, app, message_id=ID)
    (line,) = [one for one in lines_of(caplog) if "exception" in one]
    assert line["message_id"] == ID
    assert line["exception"].startswith("Traceback")
    assert "ValueError: no such host" in line["exception"]
    assert "second line" in line["exception"]
    assert "hunter2" not in json.dumps(line)


@given(text=st.text(), argument=st.text())
def test_whatever_is_said_is_one_line_of_ascii(text: str, argument: str) -> None:
    record = logging.LogRecord(
        "flask_outbox", logging.INFO, "", 0, "%s: %s", (text, argument), None
    )
    line = JsonFormatter().format(record)
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert json.loads(line)["level"] == "INFO"


# ------------------------------------------------------------------------- OUTBOX_LOG


def test_a_worker_logs_json(make_shop: MakeShop) -> None:
    shop = make_shop(OUTBOX_LOG="json")
    id = shop.send()
    with shop.process("worker", "--until-drained") as worker:
        worker.ended()
        lines = [json.loads(one) for one in worker.said.splitlines()]
    (sent,) = [one for one in lines if one.get("outcome") == "sent"]
    assert sent["message_id"] == id
    assert sent["lane"] == "default"
    assert sent["attempt"] == 1
    assert sent["app"] == "shop"
    started = next(one for one in lines if " started " in one["message"])
    assert sent["courier"] == started["courier"]


SCRIPT = """
import logging, sys
from flask import Flask
from flask_outbox import Mail

for name in ("one", "two"):
    app = Flask(name, instance_path=sys.argv[1])
    app.config.update(MAIL_URL="inbox://", OUTBOX_LOG="json")
    Mail(app)
logging.basicConfig()
logging.getLogger("flask_outbox").warning("a\\nb")
"""


def test_a_web_process_logs_each_line_once_as_json(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=True,
    )
    (line,) = ended.stderr.splitlines()
    assert json.loads(line)["message"] == "a\nb"


def test_logging_that_is_configured_is_left_alone(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    app = Flask("shop", instance_path=str(tmp_path))
    app.config.update(MAIL_URL="inbox://", OUTBOX_LOG="json")
    Mail(app)
    assert not log.writes_json()
    assert logging.getLogger("flask_outbox").propagate
    (told,) = [one for one in caplog.messages if "has no effect" in one]
    assert "flask_outbox.log.JsonFormatter" in told
