"""Processes that serve nobody for long: a script, a shell, a server that reloads."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mail.site import QUICK, url_of
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import WAIT_SECONDS, eventually

from .kinds import APP, PLAIN_FLASK, RELOADER, WATCHED
from .serving import Program
from .stage import Stage

SEND = f"from {APP} import send\n"


@pytest.fixture
def smtp(tmp_path: Path) -> Iterator[JournalSmtp]:
    with JournalSmtp(tmp_path / "journal") as server:
        yield server


@pytest.mark.parametrize("mails", [1, 40])
def test_a_script_that_ends_at_once_delivers_its_mail(
    tmp_path: Path, smtp: JournalSmtp, mails: int
):
    """Even when it ends before its courier is ready: nobody else may come for it."""
    say = "print(f'sent {send()}\\n', end='', flush=True)"
    script = f"{SEND}for _ in range({mails}): {say}\n"
    config = {**QUICK, "MAIL_URL": url_of(smtp)}
    with Program((sys.executable, "-c", script), tmp_path / "app", config) as program:
        assert program.end() == 0, program.log
        sent = re.findall("sent (<.+?>)", program.log)
    assert len(sent) == mails
    assert smtp.arrived == sorted(sent)


def test_a_shell_that_ends_at_once_delivers_its_mail(tmp_path: Path, smtp: JournalSmtp):
    config = {**QUICK, "MAIL_URL": url_of(smtp)}
    shell = (*PLAIN_FLASK, f"--app={APP}", "shell")
    with Program(shell, tmp_path / "app", config) as program:
        program.process.communicate(
            f"{SEND}send()\nsend()\nexit()\n", timeout=WAIT_SECONDS
        )
        assert program.end() == 0, program.log
    assert len(smtp.mails) == len({mail.rfc_message_id for mail in smtp.mails}) == 2


def test_a_reload_loses_no_mail_in_flight(tmp_path: Path, smtp: JournalSmtp):
    """The old process finishes what it has begun, and the new one goes on."""
    stage = Stage(RELOADER, tmp_path / "app", smtp)
    watched = tmp_path / "app" / WATCHED
    watched.parent.mkdir()
    watched.touch()
    smtp.behaviour = Behaviour(delay_seconds=0.2)
    with stage.serving() as serving:
        sent = serving.send_emails(40)
        watched.write_text("changed")
        eventually(lambda: serving.log.count("Debugger is active!") == 2)
        smtp.behaviour = Behaviour()
        sent += serving.send_emails(10)
        assert len(serving.workers) == 2
        smtp.wait_for(len(sent))
    assert stage.arrived == sorted(sent)
