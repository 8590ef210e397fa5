"""A lane: open or paused, why, and how long until the next probe."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from flask_outbox import TransportDown
from flask_outbox.config import SmtpSettings
from flask_outbox.errors import LoginDemanded, LoginRejected
from flask_outbox.lane import FIRST_PAUSE_SECONDS, Lane, Lanes
from flask_outbox.transports.smtp import SmtpTransport
from tests.servers import JournalSmtp

CAP_SECONDS = 30.0


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


def test_the_next_trouble_begins_anew(server: JournalSmtp):
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


def test_nor_do_they_shorten_it(server: JournalSmtp):
    async def work(lane: Lane) -> None:
        server.go_down()
        lane.pause(TransportDown("down"))
        await lane.probe()
        await lane.probe()
        lane.pause(TransportDown("a message that was on its way"))
        _assert_waits(lane, 4 * FIRST_PAUSE_SECONDS)

    _with_lane(server, work)


# ------------------------------------------------------------- whose doing it is


def test_trouble_is_a_messages_own_doing_at_the_third_time(server: JournalSmtp):
    async def work(lane: Lane) -> None:
        for _ in range(2):
            assert not lane.is_its_doing("A")
            lane.pause(TransportDown("421"), "A")
            assert not lane.is_its_doing("A")
            assert await lane.probe() is True
        assert lane.is_its_doing("A")
        assert not lane.is_its_doing("B")

    _with_lane(server, work)


def test_it_is_not_when_a_probe_found_trouble_between(server: JournalSmtp):
    async def work(lane: Lane) -> None:
        lane.pause(TransportDown("421"), "A")
        assert await lane.probe() is True
        lane.pause(TransportDown("421"), "A")
        server.go_down()
        assert await lane.probe() is False
        server.come_back()
        assert await lane.probe() is True
        assert not lane.is_its_doing("A")

    _with_lane(server, work)


def test_it_is_not_when_another_was_in_the_way_between(server: JournalSmtp):
    async def work(lane: Lane) -> None:
        for message_id in ("A", "B", "A"):
            lane.pause(TransportDown("421"), message_id)
            assert await lane.probe() is True
        assert not lane.is_its_doing("A")
        assert not lane.is_its_doing("B")

    _with_lane(server, work)


def test_several_that_meet_one_pause_count_once_each(server: JournalSmtp):
    async def work(lane: Lane) -> None:
        for _ in range(2):
            lane.pause(TransportDown("421"), "A")
            lane.pause(TransportDown("421"), "B")
            assert await lane.probe() is True
        assert lane.is_its_doing("A")
        assert lane.is_its_doing("B")

    _with_lane(server, work)


def test_a_login_demanded_is_nobodys_doing(server: JournalSmtp):
    async def work(lane: Lane) -> None:
        for _ in range(2):
            lane.pause(TransportDown("421"), "A")
            assert await lane.probe() is True
        assert not lane.is_its_doing("A", LoginDemanded("530"))
        for _ in range(4):
            lane.pause(LoginDemanded("530"), "A")
            assert await lane.probe() is True
        assert not lane.is_its_doing("A", TransportDown("421"))

    _with_lane(server, work)


def test_a_rejected_login_makes_the_waits_much_longer(server: JournalSmtp):
    async def work(lane: Lane) -> None:
        lane.pause(LoginRejected("535"))
        _assert_waits(lane, 60.0)
        assert await lane.probe() is True
        lane.pause(TransportDown("down"))
        _assert_waits(lane, FIRST_PAUSE_SECONDS)

    _with_lane(server, work)


def test_a_login_that_no_probe_misses_makes_the_waits_longer_all_the_same(
    server: JournalSmtp,
):
    async def work(lane: Lane) -> None:
        for longest in (1.0, 2.0, 4.0):
            lane.pause(LoginDemanded("530 to RCPT"), "A")
            _assert_waits(lane, longest * FIRST_PAUSE_SECONDS)
            assert await lane.probe() is True
        lane.served()
        lane.pause(LoginDemanded("530 to RCPT"), "A")
        _assert_waits(lane, FIRST_PAUSE_SECONDS)

    _with_lane(server, work)


# ------------------------------------------------------------------ which way


def test_the_way_of_a_lanes_mail(server: JournalSmtp):
    async def work(first: Lane) -> None:
        others = [Lane(one, first.transport, CAP_SECONDS) for one in ("b", "c")]
        lanes = Lanes([first, *others], {"default": ("b", "c")})
        assert lanes.way("default") is first
        first.pause(TransportDown("down"))
        assert lanes.way("default") is lanes["b"]
        assert lanes.way("b") is lanes["b"]
        lanes["b"].held = "no"
        assert lanes.way("default") is lanes["c"]
        assert lanes.way("b") is None
        lanes["c"].pause(TransportDown("down"))
        assert lanes.way("default") is None
        assert await lanes["c"].probe() is True
        first.held = "a person's will"
        assert lanes.way("default") is None

    _with_lane(server, work)
