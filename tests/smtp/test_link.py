"""`SmtpLink`: several replies awaited at a time, and how it breaks."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable

import pytest

from flask_outbox.delivery import Reply
from flask_outbox.transports.smtp.protocol import (
    LinkError,
    LinkLost,
    OutOfStep,
    ServerClosing,
    SmtpLink,
    TooSlow,
)
from tests.servers import CLOSE, STALL, Pause, ScriptedSmtp, Step

from .talk import HASTY_SECONDS, PATIENT_SECONDS, QUIT

BATCH = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"


def with_link(*steps: Step, talk: Callable[[SmtpLink], Awaitable[None]]) -> None:
    """Talk over a link to a server that plays these steps."""

    async def run(server: ScriptedSmtp) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(
            asyncio.Protocol, server.host, server.port
        )
        link = SmtpLink(transport)
        try:
            await talk(link)
        finally:
            link.abort()

    with ScriptedSmtp(list(steps)) as server:
        asyncio.run(run(server))


def awaiting(link: SmtpLink, seconds: float = PATIENT_SECONDS) -> asyncio.Future[Reply]:
    """Ask for the next reply that nobody else has asked for."""
    reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    link.expect(seconds, reply.set_result, lost=reply.set_exception)
    return reply


def test_replies_are_paired_in_order_with_what_asked_for_them() -> None:
    async def talk(link: SmtpLink) -> None:
        awaited = [awaiting(link) for _ in range(3)]
        link.write(BATCH)
        replies = await asyncio.gather(*awaited)
        assert [str(one) for one in replies] == ["250 a", "550 b", "354 c"]
        assert link.trouble is None

    answers = Step("DATA", b"250 a\r\n550 b\r\n354 c\r\n")
    with_link(Step("MAIL"), Step("RCPT"), answers, QUIT, talk=talk)


def test_a_lost_connection_keeps_the_replies_that_came_before() -> None:
    async def talk(link: SmtpLink) -> None:
        awaited = [awaiting(link) for _ in range(3)]
        link.write(BATCH)
        results = await asyncio.gather(*awaited, return_exceptions=True)
        assert results[0] == Reply(250, None, "a")
        assert [type(one) for one in results[1:]] == [LinkLost, LinkLost]

    end = Step("DATA", b"250 a\r\n55", CLOSE)
    with_link(Step("MAIL"), Step("RCPT"), end, talk=talk)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"220 hello\r\n", OutOfStep),
        (b"421 bye\r\n", ServerClosing),
        (b"\0", OutOfStep),
    ],
)
def test_a_broken_link_stays_broken_for_its_first_reason(
    said: bytes, kind: type[Exception]
) -> None:
    async def talk(link: SmtpLink) -> None:
        told: asyncio.Future[LinkError] = asyncio.get_running_loop().create_future()
        link.on_broken = told.set_result  # fails if it is told twice
        link.write(b"NOOP\r\n")
        async with asyncio.timeout(PATIENT_SECONDS):
            assert isinstance(await told, kind)
        link.data_received(b"250 ok\r\n" * 9)  # a callback that was under way
        link.abort()
        for use in (
            link.check_open,
            lambda: awaiting(link),
            lambda: link.write(b"NOOP\r\n"),
        ):
            with pytest.raises(kind):
                use()
        assert isinstance(link.trouble, kind)

    with_link(Step("NOOP", said, STALL), talk=talk)


def test_no_callback_runs_after_more_replies_than_commands() -> None:
    done: list[str] = []

    async def talk(link: SmtpLink) -> None:
        def taker(reply: Reply) -> None:
            done.append(str(reply))
            link.afterwards(lambda: done.append("went on"))

        told: asyncio.Future[LinkError] = asyncio.get_running_loop().create_future()
        link.on_broken = told.set_result
        link.expect(PATIENT_SECONDS, taker)
        link.write(b"NOOP\r\n")
        assert isinstance(await told, OutOfStep)

    with_link(Step("NOOP", b"250 first\r\n250 again\r\n", STALL), talk=talk)
    assert done == ["250 first"]


def test_a_reply_that_is_no_longer_awaited_does_no_harm() -> None:
    async def talk(link: SmtpLink) -> None:
        first = asyncio.create_task(link.command(b"NOOP", PATIENT_SECONDS))
        await asyncio.sleep(0)
        first.cancel()
        assert str(await link.command(b"NOOP", PATIENT_SECONDS)) == "250 second"

        given_up = asyncio.create_task(link.command(b"NOOP", HASTY_SECONDS))
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(TooSlow, match=r"no reply in 1.5 s"):
            await link.command(b"NOOP", PATIENT_SECONDS)
        gc.collect()  # asyncio would log an exception that nobody has looked at

    with_link(
        Step("NOOP", b"250 first\r\n"),
        Step("NOOP", b"250 second\r\n"),
        Step("NOOP", STALL),
        talk=talk,
    )


def test_the_timeout_of_a_reply_begins_after_the_one_before() -> None:
    """Else whoever comes behind somebody slow would be given up before his turn."""

    async def talk(link: SmtpLink) -> None:
        slow = awaiting(link, PATIENT_SECONDS)
        behind = awaiting(link, 2 * HASTY_SECONDS)
        link.write(b"NOOP\r\nNOOP\r\n")
        assert str(await slow) == "250 slow"
        assert str(await behind) == "250 behind"

    slow = Step("NOOP", Pause(3 * HASTY_SECONDS), b"250 slow\r\n")
    behind = Step("NOOP", Pause(HASTY_SECONDS / 3), b"250 behind\r\n")
    with_link(slow, behind, talk=talk)
