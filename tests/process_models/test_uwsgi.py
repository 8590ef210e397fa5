"""uWSGI's threads: where its signals are handled, and what it does without any.

Until version 2.0.27 it then gives a background thread no time.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from signal import SIGINT

import pytest

from flask_outbox import State
from tests.servers import JournalSmtp

from .kinds import UWSGI, UWSGI_WITHOUT_THREADS
from .stage import Stage

pytestmark = pytest.mark.skipif(
    not UWSGI_WITHOUT_THREADS.installed, reason="uWSGI is not installed"
)

WITH_THREADS = (2, 0, 27)
"""From this version on it knows no other way."""


@pytest.fixture
def stage(tmp_path: Path):
    with JournalSmtp(tmp_path / "journal") as smtp:
        yield Stage(UWSGI_WITHOUT_THREADS, tmp_path / "app", smtp)


def _version() -> tuple[int, ...]:
    program = UWSGI_WITHOUT_THREADS.command[0]
    said = subprocess.check_output([program, "--version"], text=True)
    return tuple(int(part) for part in said.split(".")[:3])


def takes_signals(thread: Path) -> bool:
    """Whether SIGINT may reach a thread of ``/proc``; see proc_pid_status(5)."""
    (blocked,) = re.findall(r"^SigBlk:\s*(\w+)$", (thread / "status").read_text(), re.M)
    return not int(blocked, 16) & 1 << SIGINT - 1


def test_no_signal_reaches_a_courier(tmp_path: Path):
    """uWSGI would end the worker in the courier's thread, which waits for the main
    thread, and that for its next request.
    """
    with JournalSmtp(tmp_path / "journal") as smtp:
        stage = Stage(UWSGI, tmp_path / "app", smtp)
        with stage.serving() as serving:
            serving.send_emails(1)
            smtp.wait_for(1)
            (worker,) = serving.workers
            threads = [*Path(f"/proc/{worker}/task").iterdir()]
            assert len(threads) > 2
            assert [one.name for one in threads if takes_signals(one)] == [str(worker)]


def test_the_app_says_at_boot_that_no_courier_can_work(stage: Stage):
    if _version() >= WITH_THREADS:
        pytest.skip("this uWSGI has threads whether it is told to or not")
    with stage.serving() as serving:
        assert serving.end() != 0
        assert "no courier can work" in serving.log
        assert "--enable-threads" in serving.log
        assert "OUTBOX_ENGINE = 'external'" in serving.log


def test_an_idle_server_delivers_if_threads_are_on_by_default(stage: Stage):
    if _version() < WITH_THREADS:
        pytest.skip("this uWSGI has no threads unless it is told to")
    with stage.serving() as serving:
        sent = serving.send_emails(1)
        stage.smtp.wait_for(1)
    assert stage.arrived == sent


def test_a_worker_process_delivers(stage: Stage):
    with stage.serving(OUTBOX_ENGINE="external") as serving:
        sent = serving.send_emails(10)
        assert stage.counts == {State.PENDING: 10}
        assert stage.command("worker", "--until-drained")[0] == 0
        assert stage.arrived == sorted(sent)
        assert stage.status.couriers == ()
