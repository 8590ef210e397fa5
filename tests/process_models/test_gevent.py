"""Under gevent: the hub never stands still, and the courier ends well."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.mail.site import QUICK, url_of
from tests.servers import Behaviour, JournalSmtp

from .serving import Program

pytest.importorskip("gevent")

HELD_UP_SECONDS = 2.0
"""How long the mail server takes for a mail, and another process holds the lock: what
waits for either in the hub stands still as long, which is nearly all of the time."""

UNMEASURED = ("env", "--unset=COVERAGE_PROCESS_CONFIG")
"""Coverage's tracer would hold the hub up itself."""


@pytest.fixture
def smtp(tmp_path: Path):
    with JournalSmtp(tmp_path / "journal") as server:
        yield server


def _shares_of_long_gaps(folder: Path, smtp: JournalSmtp) -> dict[str, float]:
    ticking = (sys.executable, "-m", "tests.process_models.ticker")
    arguments = (url_of(smtp), str(HELD_UP_SECONDS))
    with Program((*UNMEASURED, *ticking, *arguments), folder, {}) as ticker:
        assert ticker.end() == 0, ticker.log
        shares: dict[str, float] = json.loads(ticker.log)
        return shares


def test_the_gevent_hub_is_not_blocked(tmp_path: Path, smtp: JournalSmtp):
    """While mail is sent and delivered, and while another process holds the lock."""
    smtp.behaviour = Behaviour(delay_seconds=HELD_UP_SECONDS)
    shares = _shares_of_long_gaps(tmp_path / "ticking", smtp)
    assert max(shares.values()) < 1 / 2, shares


LATE_EXIT = """
from gevent import monkey
monkey.patch_all()
import gevent, sys
from tests.process_models.app import mail, send

send()
gevent.spawn_later(0.3, sys.exit)
"""


def test_a_late_sys_exit_does_not_interrupt_the_courier(
    tmp_path: Path, smtp: JournalSmtp
):
    """As in gunicorn's worker, which may ask for the end when that has begun."""
    smtp.behaviour = Behaviour(delay_seconds=1.0)
    config = {**QUICK, "MAIL_URL": url_of(smtp), "OUTBOX_GRACE_SECONDS": 10}
    with Program((sys.executable, "-c", LATE_EXIT), tmp_path / "app", config) as late:
        assert late.end() == 0, late.log
        assert len(smtp.mails) == 1
        assert "Traceback" not in late.log, late.log
