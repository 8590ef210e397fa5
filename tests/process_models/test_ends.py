"""Each kind of server ends, well or not: nothing that it accepted is lost, and nothing
is sent twice.
"""

from __future__ import annotations

from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals

import pytest

from flask_outbox import State
from tests.servers import Behaviour
from tests.waiting import BUSY_SECONDS

from .kinds import KINDS
from .stage import Stage, each

GRACE_SECONDS = 8.0
"""Half of it remains for an attempt that was begun: many times what one takes."""

TIDY_SECONDS = 5.0 + BUSY_SECONDS
"""A server ends within its grace time and this, well before."""

SLOW = Behaviour(delay_seconds=0.5)
CONCURRENCY = 2
MAILS = 60
"""More than the couriers of two workers deliver in the grace time while it is slow."""


@pytest.mark.parametrize("number", [SIGTERM, SIGINT], ids=["SIGTERM", "SIGINT"])
def test_attempts_are_finished_and_other_messages_returned(
    number: Signals, tmp_path: Path
):
    def life(stage: Stage) -> None:
        stage.put_empty_outbox()
        stage.smtp.behaviour = Behaviour(hang=True)
        with stage.serving(
            OUTBOX_GRACE_SECONDS=GRACE_SECONDS, OUTBOX_CONCURRENCY=CONCURRENCY
        ) as serving:
            sent = serving.send_emails(MAILS)
            stage.smtp.wait_until(lambda: stage.smtp.held)
            stage.smtp.behaviour = SLOW
            assert serving.seconds_to_end(number) < GRACE_SECONDS + TIDY_SECONDS
            finished = len(stage.arrived)
            assert stage.counts == {
                State.SENT: finished,
                State.PENDING: MAILS - finished,
            }
            assert stage.status.couriers == ()
        stage.smtp.behaviour = Behaviour()
        stage.deliver_the_rest()
        assert stage.arrived == sorted(sent)

    each([kind for kind in KINDS if number in kind.ends_well_on], tmp_path, life)


@pytest.mark.parametrize("number", [SIGKILL, SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_the_next_start_delivers_mail_left_by_a_kill(number: Signals, tmp_path: Path):
    """At its first request, with the same Message-IDs."""

    def life(stage: Stage) -> None:
        stage.put_empty_outbox()
        stage.smtp.behaviour = Behaviour(hang=True)
        with stage.serving(OUTBOX_CONCURRENCY=CONCURRENCY) as serving:
            sent = serving.send_emails(10)
            stage.smtp.wait_until(lambda: stage.smtp.held >= CONCURRENCY)
            serving.signal_all(number)
            serving.end()
        stage.smtp.wait_until(lambda: not stage.smtp.connections)
        stage.smtp.behaviour = Behaviour()
        with stage.serving() as again:
            again.ping()
            stage.smtp.wait_for(len(sent))
        assert stage.arrived == sorted(sent)

    each([kind for kind in KINDS if number not in kind.ends_well_on], tmp_path, life)
