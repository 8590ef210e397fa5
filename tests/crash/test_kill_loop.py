"""Couriers killed again and again: no mail is lost, stuck, or twice without a reason."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from flask_outbox.outbox.store import Outbox
from tests.crash import aftermath
from tests.crash.conftest import Start
from tests.crash.jobs import Config, deliver, send
from tests.crash.lives import Lives
from tests.crash.mail_server import MailServer
from tests.crash.points import POINTS
from tests.waiting import eventually

DRAIN_SECONDS = 30.0
"""What dead couriers leave behind is delivered within this, by default."""

PATIENCE_SECONDS = 86_400.0

SCALES = [
    pytest.param(500, 50, id="short"),
    pytest.param(10_000, 1_000, id="long", marks=pytest.mark.long),
]


@pytest.mark.parametrize(("mails", "kills"), SCALES)
def test_kill_loop(
    mails: int,
    kills: int,
    url: str,
    outbox: Outbox,
    mail_server: MailServer,
    start: Start,
    tmp_path: Path,
):
    accepted = tmp_path / "accepted"
    config: Config = {"OUTBOX_URL": url, "MAIL_URL": mail_server.url}
    sender = start(send, {**config, "OUTBOX_ENGINE": "external"}, accepted)
    mails_per_kill = mails // kills

    def send_more(number: int) -> None:
        sender.say([f"mail-{number}-{one}" for one in range(mails_per_kill)])

    lives = Lives(config, accepted, tmp_path)
    lives.spend(kills, send_more)
    last_kill_at = time.monotonic()
    sender.say(None)
    last = start(deliver, config)
    for _ in range(kills):
        sender.hear()
    eventually(lambda: not outbox.anything_due(), DRAIN_SECONDS)
    drained_seconds = time.monotonic() - last_kill_at

    states = Counter(aftermath.states(outbox).values())
    poison = aftermath.ids_in(outbox, "failed")
    begun = Counter(one for trace in lives.traces for one in trace.begun)
    for id in poison:
        print(begun[outbox.get(id).message_id], [(e.kind,e.detail) for e in outbox.get(id).events])
        assert begun[outbox.get(id).message_id] >= 2, outbox.get(id).events
        outbox.retry(id, PATIENCE_SECONDS)
    eventually(lambda: not outbox.anything_due(), DRAIN_SECONDS)
    last.kill()

    arrived = mail_server.mails
    copies = aftermath.copies(arrived)
    through = sum(len(trace.through) for trace in lives.traces)
    print(
        f"{len(copies)} mails, {kills} kills, of which at points: {lives.points_hit}; "
        f"{through} past the final dot at a kill, {copies.total() - len(copies)} "
        f"duplicates; at the end {dict(states)}, drained in {drained_seconds:.1f} s"
    )
    assert len(aftermath.accepted(accepted)) >= mails
    assert aftermath.accepted(accepted) <= copies.keys()
    assert set(aftermath.states(outbox).values()) == {"sent"}
    assert aftermath.states(outbox).keys() == copies.keys()
    assert aftermath.unexplained(arrived, lives.traces) == {}
    assert aftermath.changed(arrived) == {}
    assert all(lives.points_hit.values()), lives.points_hit
    assert set(lives.points_hit) == set(POINTS)
