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

GRACE_SECONDS = 4.0
TIDY_SECONDS = 5.0 + BUSY_SECONDS
"""A server ends within its grace time and this, well before."""

SLOW = Behaviour(delay_seconds=0.5)
CONCURRENCY = 2
MAILS = 60
"""More than the couriers of two workers deliver in the grace time while it is slow."""


@pytest.mark.parametrize("number", [SIGTERM, SIGINT], ids=["SIGTERM", "SIGINT"])
def test_what_is_in_flight_is_finished_and_the_rest_given_back(
    number: Signals, tmp_path: Path
):
    def life(stage: Stage) -> None:
        stage.smtp.behaviour = SLOW
        with stage.serving(
            OUTBOX_GRACE_SECONDS=GRACE_SECONDS, OUTBOX_CONCURRENCY=CONCURRENCY
        ) as serving:
            sent = serving.send_emails(MAILS)
            stage.smtp.wait_for(1)
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
def test_the_next_start_delivers_what_a_sudden_end_left(
    number: Signals, tmp_path: Path
):
    """At its first request, with the same Message-IDs."""

    def life(stage: Stage) -> None:
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
