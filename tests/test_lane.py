"""A lane: open or paused, why, and how long until the next probe."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from flask_outbox import TransportDown
from flask_outbox.config import SmtpSettings
from flask_outbox.courier.lane import FIRST_PAUSE_SECONDS, Lane, Lanes
from flask_outbox.errors import (
    AccountTrouble,
    LoginDemanded,
    LoginRejected,
    Throttled,
)
from flask_outbox.transports.inbox import InboxTransport
from flask_outbox.transports.smtp import SmtpTransport
from tests.servers import JournalSmtp

CAP_SECONDS = 30.0
SOON = 60.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[JournalSmtp]:
    with JournalSmtp(tmp_path / "journal") as server:
        yield server


def _with_lane(
    server: JournalSmtp,
    work: Callable[[Lane], Awaitable[None]],
    cap_seconds: float = CAP_SECONDS,
) -> None:
    """Do something with a lane to the server, in a loop of its own."""

    async def run() -> None:
        transport = SmtpTransport(SmtpSettings(server.host, server.port))
        try:
            await work(Lane("default", transport, cap_seconds))
        finally:
            await transport.close()

    asyncio.run(run())


def _assert_waits(lane: Lane, longest: float) -> None:
    """Each wait is between a half and the whole, and they differ."""
    waits = [lane.wait_seconds() for _ in range(100)]
    assert longest / 2 <= min(waits) < max(waits) <= longest
    assert max(waits) - min(waits) > longest / 8


def test_a_lane_begins_open(server: JournalSmtp):
    async def work(lane: Lane) -> None:
        assert lane.open
        assert lane.reason is None
        assert not lane.went_down.is_set()
        assert server.connections_made == 0

    _with_lane(server, work)


def test_a_pause_has_a_reason_and_is_announced(server: JournalSmtp):
    async def work(lane: Lane) -> None:
        lane.pause(TransportDown("nothing listens there"))
        assert not lane.open
        assert lane.reason == "nothing listens there"
        async with asyncio.timeout(1):
            await lane.went_down.wait()

    _with_lane(server, work)


def test_a_probe_opens_the_lane_when_the_server_is_back(server: JournalSmtp):
    async def work(lane: Lane) -> None:
        lane.pause(TransportDown("it was down"))
        assert await lane.probe() is True
        assert lane.open
        assert lane.reason is None
        assert not lane.went_down.is_set()

    _with_lane(server, work)


def test_a_probe_that_fails_keeps_it_paused_with_the_newest_reason(
    server: JournalSmtp,
):
    async def work(lane: Lane) -> None:
        server.go_down()
        lane.pause(TransportDown("the first reason"))
        assert await lane.probe() is False
        assert not lane.open
        assert lane.went_down.is_set()
        assert lane.reason is not None
        assert f"{server.port} refused the connection" in lane.reason

    _with_lane(server, work)


def test_the_wait_doubles_with_each_failure_up_to_the_cap(server: JournalSmtp):
    async def work(lane: Lane) -> None:
        server.go_down()
        lane.pause(TransportDown("down"))
        for longest in (1.0, 2.0, 4.0, 8.0, 16.0, CAP_SECONDS, CAP_SECONDS):
            _assert_waits(lane, longest * FIRST_PAUSE_SECONDS)
            assert await lane.probe() is False

    _with_lane(server, work)


def test_a_cap_below_the_first_pause(server: JournalSmtp):
    async def work(lane: Lane) -> None:
        lane.pause(TransportDown("down"))
        _assert_waits(lane, 0.2)

    _with_lane(server, work, cap_seconds=0.2)


def test_many_failures_do_not_overflow(server: JournalSmtp):
    async def work(lane: Lane) -> None:
        server.go_down()
        lane.pause(TransportDown("down"))
        for _ in range(2_000):
            await lane.probe()
        _assert_waits(lane, CAP_SECONDS)

    _with_lane(server, work)


def test_after_it_opened_the_waits_start_anew(server: JournalSmtp):
    async def work(lane: Lane) -> None:
        server.go_down()
        lane.pause(TransportDown("down"))
        for _ in range(5):
            await lane.probe()
        server.come_back()
        assert await lane.probe() is True
        lane.pause(TransportDown("down again"))
        assert lane.went_down.is_set()
        _assert_waits(lane, FIRST_PAUSE_SECONDS)

    _with_lane(server, work)


def test_attempts_that_fail_meanwhile_do_not_lengthen_the_wait(server: JournalSmtp):
    """Ten messages that find the server down at the same moment are one failure."""

    async def work(lane: Lane) -> None:
        for number in range(10):
            lane.pause(TransportDown(f"reason {number}"))
        assert lane.reason == "reason 9"
        _assert_waits(lane, FIRST_PAUSE_SECONDS)

    _with_lane(server, work)


def test_attempts_that_fail_meanwhile_do_not_shorten_the_wait(server: JournalSmtp):
    async def work(lane: Lane) -> None:
        server.go_down()
        lane.pause(TransportDown("down"))
        await lane.probe()
        await lane.probe()
        lane.pause(TransportDown("a message that was on its way"))
        _assert_waits(lane, 4 * FIRST_PAUSE_SECONDS)

    _with_lane(server, work)


# ------------------------------------------------------------- whose doing it is


def test_a_message_that_pauses_the_lane_three_times_is_blamed(server: JournalSmtp):
    async def work(lane: Lane) -> None:
        for _ in range(2):
            assert not lane.is_caused_by("A")
            lane.pause(TransportDown("421"), "A")
            assert not lane.is_caused_by("A")
            assert await lane.probe() is True
        assert lane.is_caused_by("A")
        assert not lane.is_caused_by("B")

    _with_lane(server, work)


def test_a_failed_probe_in_between_clears_the_message(server: JournalSmtp):
    async def work(lane: Lane) -> None:
        lane.pause(TransportDown("421"), "A")
        assert await lane.probe() is True
        lane.pause(TransportDown("421"), "A")
        server.go_down()
        assert await lane.probe() is False
        server.come_back()
        assert await lane.probe() is True
        assert not lane.is_caused_by("A")

    _with_lane(server, work)


def test_another_messages_failure_in_between_clears_the_message(server: JournalSmtp):
    async def work(lane: Lane) -> None:
        for message_id in ("A", "B", "A"):
            lane.pause(TransportDown("421"), message_id)
            assert await lane.probe() is True
        assert not lane.is_caused_by("A")
        assert not lane.is_caused_by("B")

    _with_lane(server, work)


def test_messages_that_fail_in_one_pause_count_once_each(server: JournalSmtp):
    async def work(lane: Lane) -> None:
        for _ in range(2):
            lane.pause(TransportDown("421"), "A")
            lane.pause(TransportDown("421"), "B")
            assert await lane.probe() is True
        assert lane.is_caused_by("A")
        assert lane.is_caused_by("B")

    _with_lane(server, work)


def test_a_demanded_login_blames_no_message(server: JournalSmtp):
    async def work(lane: Lane) -> None:
        for _ in range(2):
            lane.pause(TransportDown("421"), "A")
            assert await lane.probe() is True
        assert not lane.is_caused_by("A", LoginDemanded("530"))
        for _ in range(4):
            lane.pause(LoginDemanded("530"), "A")
            assert await lane.probe() is True
        assert not lane.is_caused_by("A", TransportDown("421"))

    _with_lane(server, work)


def test_a_rejected_login_makes_the_waits_much_longer(server: JournalSmtp):
    async def work(lane: Lane) -> None:
        lane.pause(LoginRejected("535"))
        _assert_waits(lane, 60.0)
        assert await lane.probe() is True
        lane.pause(TransportDown("down"))
        _assert_waits(lane, FIRST_PAUSE_SECONDS)

    _with_lane(server, work)


def test_a_login_demanded_after_a_good_probe_makes_the_waits_longer(
    server: JournalSmtp,
):
    async def work(lane: Lane) -> None:
        for longest in (1.0, 2.0, 4.0):
            lane.pause(LoginDemanded("530 to RCPT"), "A")
            _assert_waits(lane, longest * FIRST_PAUSE_SECONDS)
            assert await lane.probe() is True
        lane.note_attempt()
        lane.pause(LoginDemanded("530 to RCPT"), "A")
        _assert_waits(lane, FIRST_PAUSE_SECONDS)

    _with_lane(server, work)


# ------------------------------------------------------------------ which way


def test_mail_goes_by_the_first_open_fallback(server: JournalSmtp):
    async def work(first: Lane) -> None:
        others = [Lane(one, first.transport, CAP_SECONDS) for one in ("b", "c")]
        lanes = Lanes([first, *others], {"default": ("b", "c")})
        assert lanes.lane_for("default") is first
        first.pause(TransportDown("down"))
        assert lanes.lane_for("default") is lanes["b"]
        assert lanes.lane_for("b") is lanes["b"]
        lanes["b"].paused_by_operator = "no"
        assert lanes.lane_for("default") is lanes["c"]
        assert lanes.lane_for("b") is None
        lanes["c"].pause(TransportDown("down"))
        assert lanes.lane_for("default") is None
        assert await lanes["c"].probe() is True
        first.paused_by_operator = "a person's will"
        assert lanes.lane_for("default") is None

    _with_lane(server, work)


def test_the_lane_pauses_for_the_time_that_the_server_asks_for() -> None:
    lane = Lane("default", InboxTransport(), 60)
    lane.pause(Throttled("429", 7.5), "A")
    assert lane.wait_seconds() == 7.5
    lane.pause(Throttled("429", 10_000_000), "A")
    assert lane.wait_seconds() == 3_600
    lane.pause(Throttled("429"), "A")
    assert 0 < lane.wait_seconds() <= 60


def test_account_trouble_pauses_longer_each_time_and_blames_no_message() -> None:
    async def run() -> None:
        lane = Lane("default", InboxTransport(), 1_000)
        waits = []
        for _ in range(8):
            lane.pause(AccountTrouble("401"), "A")
            waits.append(lane.wait_seconds())
            assert await lane.probe()
            assert not lane.is_caused_by("A", AccountTrouble("401"))
        assert waits[7] > 16 * waits[0]

    asyncio.run(run())


def test_a_lane_may_deliver_again_after_its_first_probe(server: JournalSmtp):
    async def work(lane: Lane) -> None:
        assert lane.may_deliver_before(SOON)
        lane.allowed_at = SOON
        assert not lane.may_deliver_before(SOON)
        lane.allowed_at = 0.0
        lane.pause(TransportDown("gone"))
        assert lane.may_deliver_before(SOON)
        lane.probe_at = SOON
        assert not lane.may_deliver_before(SOON)
        assert lane.may_deliver_before(SOON + 1)
        server.go_down()
        assert not await lane.probe()
        assert not lane.may_deliver_before(SOON + 1)
        server.come_back()
        assert await lane.probe()
        assert lane.may_deliver_before(SOON)
        lane.pause(TransportDown("gone again"))
        assert lane.may_deliver_before(SOON)
        lane.paused_by_operator = "moving"
        assert not lane.may_deliver_before(SOON)

    _with_lane(server, work)
