"""Many processes on one SQLite file: each gets its turn, and nobody gets an error."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from pathlib import Path

import pytest

from flask_outbox.outbox import Database, Outbox
from tests.crash.aftermath import states
from tests.crash.conftest import Start
from tests.crash.jobs import deliver_and_tell, send_for
from tests.crash.mail_server import MailServer

WRITERS = 16
COURIERS = 4

STARVED_TURNS = 25 * WRITERS
"""More than any ``send()`` waits, 999 times in 1,000, while everyone gets a turn; in
turns of the others, which a slow machine takes as many of as a fast one.
"""


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(3.0, id="short"),
        pytest.param(60.0, id="long", marks=pytest.mark.long),
    ],
)
def test_every_writer_gets_its_turn(
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

    waits = turns_waited([one for sends, _ in reports for one in sends])
    by_writer = [len(sends) for sends, _ in reports]
    print(
        f"{len(waits) / seconds:.0f} sends/s, from {min(by_writer)} to "
        f"{max(by_writer)} a writer; turns waited: "
        + ", ".join(
            f"p{share:g} {_share(waits, share)}" for share in (50, 90, 99, 99.9, 100)
        )
    )
    assert [errors for _, errors in reports] == [[]] * WRITERS
    assert [courier.heard() for courier in couriers] == [[]] * COURIERS
    assert _share(waits, 99.9) < STARVED_TURNS
    outbox = Outbox(Database(url))
    kept = states(outbox)
    outbox.database.close()
    assert len(kept) == len(waits) + WRITERS
    assert "sent" in kept.values()


def turns_waited(sends: list[tuple[float, float]]) -> list[int]:
    """How many other sends ended while each of these was going on, in order."""
    ends = sorted(ended for _, ended in sends)
    return sorted(
        bisect_left(ends, ended) - bisect_right(ends, began) for began, ended in sends
    )


def _share(waits: list[int], percent: float) -> int:
    """What so many percent of the sends waited at most."""
    return waits[min(len(waits) - 1, int(len(waits) * percent / 100))]
