"""Couriers killed again and again: nothing is lost, stuck, or twice for no reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flask_outbox.outbox import MessageActions, Outbox
from tests.crash.aftermath import Aftermath, accepted, ids_in, states
from tests.crash.conftest import Start
from tests.crash.jobs import deliver, send
from tests.crash.lives import Lives
from tests.crash.mail_server import MailServer
from tests.waiting import WAIT_SECONDS, eventually

DRAIN_SECONDS = 5 * WAIT_SECONDS
"""Within 30 s, by default, what dead couriers have left is taken over; then it must be
delivered, on a machine that is busy with other tests."""

PATIENCE_SECONDS = 86_400.0
"""How long a message that a person retries may be tried."""

MAILS_PER_KILL = 10


@dataclass
class Loop:
    """A kill loop on one outbox: spend lives, drain what they leave, look at it all."""

    outbox: Outbox
    server: MailServer
    folder: Path
    start: Start
    config: dict[str, Any]

    def run(self, kills: int, *, at_each_point: bool = True) -> Lives:
        """Send mails, and kill so many couriers meanwhile."""
        accepted = self.folder / "accepted"
        external = {**self.config, "OUTBOX_ENGINE": "external"}
        sender = self.start(send, external, accepted)

        def send_more(kill: int) -> None:
            sender.say([f"mail-{kill}-{one}" for one in range(MAILS_PER_KILL)])

        lives = Lives(self.config, accepted, self.folder)
        lives.spend(kills, send_more, at_each_point=at_each_point)
        self.start(deliver, self.config)
        sender.ask(None)
        return lives

    def drain(self) -> None:
        """Return once nothing is due, or fail when that takes too long."""
        eventually(lambda: not self.outbox.anything_due(), DRAIN_SECONDS)

    def retry(self, ids: list[str]) -> None:
        """Do as a person would, and return once it is done."""
        for id in ids:
            self.outbox.act(MessageActions.retry, id)
        self.drain()

    def aftermath(self, lives: Lives) -> Aftermath:
        """What is left."""
        return Aftermath(
            accepted(self.folder / "accepted"),
            tuple(self.server.mails),
            tuple(lives.traces),
        )

    def tell(self, lives: Lives, aftermath: Aftermath, counts: Counter[str]) -> None:
        """Print the figures."""
        print(
            f"{len(aftermath.accepted)} mails accepted, {len(lives.traces)} kills, "
            f"{sum(lives.points_hit.values())} of them at points, "
            f"{aftermath.past_the_final_dot.total()} past the final dot at a kill, "
            f"{aftermath.duplicates} duplicates, before a person came: {dict(counts)}"
        )


MakeLoop = Callable[..., Loop]


@pytest.fixture
def make_loop(
    url: str, outbox: Outbox, mail_server: MailServer, start: Start, tmp_path: Path
) -> MakeLoop:
    """Makes the loop; keywords are settings."""
    usual = {"OUTBOX_URL": url, "MAIL_URL": mail_server.url, "OUTBOX_CONCURRENCY": 4}
    return lambda **settings: Loop(
        outbox, mail_server, tmp_path, start, {**usual, **settings}
    )


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(15, id="short"),
        pytest.param(1_000, id="long", marks=pytest.mark.long),
    ],
)
def test_repeated_kills_lose_nothing_and_repeat_only_unknown_mail(
    make_loop: MakeLoop, outbox: Outbox, kills: int
):
    loop = make_loop()
    lives = loop.run(kills)
    loop.drain()
    counts = Counter(states(outbox).values())
    poison = ids_in(outbox, "failed")
    begun = Counter(one for trace in lives.traces for one in trace.begun)
    assert all(begun[outbox.get(id).rfc_message_id] >= 2 for id in poison)
    loop.retry(poison)

    left = loop.aftermath(lives)
    loop.tell(lives, left, counts)
    assert all(lives.points_hit.values()), lives.points_hit
    assert len(left.accepted) >= MAILS_PER_KILL * kills
    assert left.accepted <= left.copies.keys()
    assert states(outbox) == dict.fromkeys(left.copies, "sent")
    assert left.unexplained == {}
    assert left.changed == {}


def test_with_hold_nothing_is_ever_sent_twice(make_loop: MakeLoop, outbox: Outbox):
    """What was begun is *unknown*, and stays so until a person decides."""
    loop = make_loop(OUTBOX_ON_UNKNOWN="hold")
    lives = loop.run(6, at_each_point=False)
    loop.drain()
    counts = Counter(states(outbox).values())
    unknown = {id for id, state in states(outbox).items() if state == "unknown"}

    left = loop.aftermath(lives)
    loop.tell(lives, left, counts)
    begun = {one for trace in lives.traces for one in trace.begun}
    assert set(counts) <= {"sent", "unknown"}
    assert left.duplicates == 0
    assert left.accepted <= left.copies.keys() | unknown
    assert unknown <= begun

    loop.retry(ids_in(outbox, "unknown"))
    assert set(states(outbox).values()) == {"sent"}
    assert left.accepted <= loop.aftermath(lives).copies.keys()
