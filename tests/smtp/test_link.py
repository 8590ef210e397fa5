"""The link by itself: several replies awaited at a time, and how it breaks."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable

import pytest

from flask_outbox.delivery import Reply
from flask_outbox.transports.smtp_link import (
    LinkLost,
    OutOfStep,
    ServerClosing,
    SmtpLink,
    TooSlow,
)
from tests.servers import CLOSE, STALL, ScriptedSmtp, Step

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


def test_replies_are_paired_in_order_with_what_asked_for_them() -> None:
    async def talk(link: SmtpLink) -> None:
        awaited = [link.expect_reply() for _ in range(3)]
        link.write(BATCH)
        replies = await asyncio.gather(
            *(link.reply_within(one, PATIENT_SECONDS) for one in awaited)
        )
        assert [str(one) for one in replies] == ["250 a", "550 b", "354 c"]
        assert link.open

    answers = Step("DATA", b"250 a\r\n550 b\r\n354 c\r\n")
    with_link(Step("MAIL"), Step("RCPT"), answers, QUIT, talk=talk)


def test_a_lost_link_keeps_the_replies_that_came_before() -> None:
    async def talk(link: SmtpLink) -> None:
        awaited = [link.expect_reply() for _ in range(3)]
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
        link.write(b"NOOP\r\n")
        async with asyncio.timeout(PATIENT_SECONDS):
            while link.open:
                await asyncio.sleep(0)
        link.data_received(b"250 ok\r\n" * 9)  # a callback that was under way
        link.abort()
        for use in (
            link.check_open,
            link.expect_reply,
            lambda: link.write(b"NOOP\r\n"),
        ):
            with pytest.raises(kind):
                use()
        with pytest.raises(kind):
            await link.drain(PATIENT_SECONDS)

    with_link(Step("NOOP", said, STALL), talk=talk)


def test_a_reply_that_nobody_waits_for_any_more_is_no_trouble() -> None:
    async def talk(link: SmtpLink) -> None:
        link.expect_reply().cancel()
        link.write(b"NOOP\r\n")
        assert str(await link.command(b"NOOP", PATIENT_SECONDS)) == "250 second"

        link.expect_reply().cancel()
        link.expect_reply()
        with pytest.raises(TooSlow, match=r"no reply in 0.3 s"):
            await link.command(b"NOOP", HASTY_SECONDS)
        gc.collect()  # asyncio would log an exception that nobody has looked at

    with_link(
        Step("NOOP", b"250 first\r\n"),
        Step("NOOP", b"250 second\r\n"),
        Step("NOOP", STALL),
        talk=talk,
    )
