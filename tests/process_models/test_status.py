"""A courier that stands still shows in ``flask outbox status`` and its exit code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import pytest

from flask_outbox import State
from tests.servers import JournalSmtp
from tests.waiting import eventually

from .black_holes import locked
from .elsewhere import outbox_behind_proxy
from .kinds import WAITRESS
from .stage import Stage

LEASE_SECONDS = 1.0
"""So soon after its last sign of life a courier counts as dead: on a busy machine one
that lives may for a moment."""


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with JournalSmtp(tmp_path / "journal") as smtp:
        yield Stage(WAITRESS, tmp_path / "app", smtp)


def _settle(stage: Stage) -> None:
    """Return once all that was sent is written down as sent."""
    eventually(lambda: set(stage.counts) == {State.SENT})


def test_status_reports_a_frozen_process_as_dead(stage: Stage):
    with stage.serving(OUTBOX_LEASE_SECONDS=LEASE_SECONDS) as serving:
        serving.send_emails(1)
        _settle(stage)
        eventually(lambda: stage.command("status")[0] == 0)
        serving.signal(SIGSTOP)
        stage.hand_over()
        eventually(lambda: stage.status.couriers and not stage.status.couriers[0].alive)
        code, said = stage.command("status")
        assert code == 1
        assert "dead" in said
        assert "No courier is alive to deliver 1 message" in said
        serving.signal(SIGCONT)
        stage.smtp.wait_for(2)
        _settle(stage)
        eventually(lambda: stage.command("status")[0] == 0)


def test_status_works_while_another_process_locks_the_file(stage: Stage):
    with stage.serving(OUTBOX_LEASE_SECONDS=LEASE_SECONDS) as serving:
        serving.send_emails(1)
        _settle(stage)
        stage.hand_over(delay=1.0)
        with locked(stage.file):
            eventually(lambda: not stage.status.couriers[0].alive)
            eventually(lambda: stage.status.due == 1)
            code, said = stage.command("status")
            assert code == 1
            assert "No courier is alive to deliver 1 message" in said
        stage.smtp.wait_for(2)


def test_status_exits_with_2_if_the_database_server_is_down(stage: Stage):
    with outbox_behind_proxy("postgresql") as (url, proxy):
        assert stage.command("status", OUTBOX_URL=url)[0] == 0
        proxy.refuse()
        code, said = stage.command("status", OUTBOX_URL=url)
    assert code == 2
    assert "Check that the database server is running" in said
