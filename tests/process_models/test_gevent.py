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

STALL_SECONDS = 0.05
UNMEASURED = ("env", "--unset=COVERAGE_PROCESS_CONFIG")
"""Coverage's tracer would hold the hub up itself."""

TRIES = 4
"""A machine that is busy with others stalls everyone now and then, not each time."""


@pytest.fixture
def smtp(tmp_path: Path):
    with JournalSmtp(tmp_path / "journal") as server:
        yield server


def _gaps(folder: Path, smtp: JournalSmtp) -> dict[str, float]:
    ticking = (sys.executable, "-m", "tests.process_models.ticker", url_of(smtp))
    with Program((*UNMEASURED, *ticking), folder, {}) as ticker:
        assert ticker.end() == 0, ticker.log
        gaps: dict[str, float] = json.loads(ticker.log)
        return gaps


def test_the_hub_goes_on(tmp_path: Path, smtp: JournalSmtp):
    """While mail is sent and delivered, and while another process holds the lock."""
    found = []
    for number in range(TRIES):
        gaps = _gaps(tmp_path / str(number), smtp)
        found.append(gaps)
        if max(gaps["sending"], gaps["locked"]) < STALL_SECONDS:
            return
    pytest.fail(f"it stood still: {found}")


LATE_EXIT = """
from gevent import monkey
monkey.patch_all()
import gevent, sys
from tests.process_models.app import mail, send

send()
gevent.spawn_later(0.3, sys.exit)
"""


def test_a_greenlet_that_exits_late_does_not_hurry_the_courier(
    tmp_path: Path, smtp: JournalSmtp
):
    """As in gunicorn's worker, which may ask for the end when that has begun."""
    smtp.behaviour = Behaviour(delay_seconds=1.0)
    config = {**QUICK, "MAIL_URL": url_of(smtp), "OUTBOX_GRACE_SECONDS": 10}
    with Program((sys.executable, "-c", LATE_EXIT), tmp_path / "app", config) as late:
        assert late.end() == 0, late.log
        assert len(smtp.mails) == 1
        assert "Traceback" not in late.log, late.log
