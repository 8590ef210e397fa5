"""``docs/fate.rst``: what it shows is what happens."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from flask_outbox import Fate, Mail, Message
from flask_outbox.delivery import Reply
from tests.mail.site import Site, make_app_with_outbox, url_of
from tests.reports import ADA, BOB, GONE, report
from tests.servers import JournalSmtp
from tests.waiting import WAIT_SECONDS

PAGE = Path(__file__).parents[2] / "docs/fate.rst"
BLOCK = re.compile(r"\.\. code-block:: python\n(.+?)\n(?=\S|\Z)", re.DOTALL)


def test_the_fates_are_read_and_heard_as_the_page_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    reading, listening = (dedent(one) for one in BLOCK.findall(PAGE.read_text()))
    with JournalSmtp(tmp_path / "journal") as server:
        app = make_app_with_outbox(tmp_path / "app", MAIL_URL=url_of(server))
        mail = Mail(app)
        site = Site(app, mail)
        with app.app_context():
            names: dict[str, Any] = {"app": app, "mail": mail}
            exec(listening, names)
            names["receipt"] = mail.send(Message("Hello", [ADA, BOB], "Hello"))
            assert mail.drain(WAIT_SECONDS)
            site.runtime.take_feedback(
                [
                    report(
                        Fate.DELIVERED,
                        names["receipt"].id,
                        at=datetime(2026, 11, 24, 9, 30, 7, tzinfo=UTC),
                        reply=Reply(250, "2.0.0", "OK"),
                    ),
                    report(
                        Fate.BOUNCED,
                        names["receipt"].id,
                        address=BOB,
                        at=datetime(2026, 11, 24, 9, 30, 9, tzinfo=UTC),
                        reply=GONE,
                        operator=True,
                    ),
                ]
            )
            capsys.readouterr()
            exec(reading, names)
        site.close()
    printed = capsys.readouterr().out.splitlines()
    assert printed == re.findall(r"^# (\S+@.+)$", reading, re.MULTILINE)
    assert len(printed) == 2
    (said,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert said.getMessage() == f"Mail to {BOB} was refused because of us: {GONE}"
