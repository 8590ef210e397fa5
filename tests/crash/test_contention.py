"""Many processes on one SQLite file: each gets its turn, and nobody gets an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from flask_outbox.outbox.database import Database
from flask_outbox.outbox.store import Outbox
from tests.crash.aftermath import states
from tests.crash.conftest import Start
from tests.crash.jobs import deliver_and_tell, send_for
from tests.crash.mail_server import MailServer

WRITERS = 16
COURIERS = 4

STARVED_SECONDS = 2.5
"""Longer than any ``send()`` takes, 999 times in 1,000, while everyone gets a turn."""


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(5.0, id="short"),
        pytest.param(60.0, id="long", marks=pytest.mark.long),
    ],
)
def test_everyone_gets_a_turn(
    tmp_path: Path, mail_server: MailServer, start: Start, seconds: float
):
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    config = {"OUTBOX_URL": url, "MAIL_URL": mail_server.url}
    couriers = [
        start(deliver_and_tell, config, ["courier_stalled"]) for _ in range(COURIERS)
    ]
    assert [courier.hear() for courier in couriers] == ["at work"] * COURIERS
    external = {**config, "OUTBOX_ENGINE": "external"}
    writers = [start(send_for, external, seconds) for _ in range(WRITERS)]
    assert [writer.hear() for writer in writers] == ["ready"] * WRITERS
    for writer in writers:
        writer.say("go")
    reports = [writer.hear(after_seconds=seconds) for writer in writers]

    took = sorted(one for times, _ in reports for one in times)
    print(
        f"{len(took) / seconds:.0f} sends/s, from {min(len(t) for t, _ in reports)} to "
        f"{max(len(t) for t, _ in reports)} a writer; "
        + ", ".join(
            f"p{share:g} {_share(took, share) * 1000:.1f} ms"
            for share in (50, 90, 99, 99.9, 100)
        )
    )
    assert [errors for _, errors in reports] == [[]] * WRITERS
    assert [courier.heard() for courier in couriers] == [[]] * COURIERS
    assert _share(took, 99.9) < STARVED_SECONDS
    outbox = Outbox(Database(url))
    kept = states(outbox)
    outbox.database.close()
    assert len(kept) == len(took) + WRITERS
    assert "sent" in kept.values()


def _share(took: list[float], percent: float) -> float:
    """What so many percent of the sends took at most."""
    return took[min(len(took) - 1, int(len(took) * percent / 100))]
