"""PIPELINING and CHUNKING: what is sent together, and that messages stay separate."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from flask_outbox.delivery import Outcome
from flask_outbox.transports.smtp import SmtpTransport, session
from tests.servers import CLOSE, STALL, Pause, ScriptedSmtp, Step
from tests.servers.scripted_smtp import CHUNK, CONTENT

from .talk import (
    CONTENT_BYTES,
    COPING,
    DATA,
    DOT,
    HASTY_SECONDS,
    MAIL,
    ONE,
    ONE_MAIL,
    PATIENT_SECONDS,
    QUIT,
    RCPT,
    TWO,
    Attempt,
    attempt,
    deliver_once,
    ehlo,
    settings_for,
)

PIPELINING = [COPING, ehlo("PIPELINING")]
CHUNKING = [COPING, ehlo("PIPELINING", "CHUNKING")]
OK = b"250 2.0.0 ok\r\n"
REFUSED = Step("RCPT", b"550 5.1.1 no such user\r\n")
RSET = Step("RSET", OK)
VERDICT = Step(CHUNK, OK)
FLIGHT = ["RSET", "MAIL", "RCPT", "DATA"]
"""What rides behind a content."""
RIDER = [RSET, *ONE_MAIL]
ACCEPTED = [Outcome.ACCEPTED]


def held(*expected: str, reply: bytes) -> list[Step]:
    """Steps that say nothing until the last of them: all must come before a reply."""
    return [*(Step(one) for one in expected[:-1]), Step(expected[-1], reply)]


def talk(
    *scripts: list[Step],
    run: Callable[[SmtpTransport, ScriptedSmtp], Awaitable[None]],
    **settings: Any,
) -> ScriptedSmtp:
    """Use one transport, of one connection at a time, with a server that plays this."""

    async def use(server: ScriptedSmtp) -> None:
        changes = {"max_connections": 1, **settings}
        transport = SmtpTransport(settings_for(server, **changes))
        try:
            async with asyncio.timeout(PATIENT_SECONDS):
                await run(transport, server)
        finally:
            await transport.close()

    with ScriptedSmtp(*scripts) as server:
        asyncio.run(use(server))
    return server


async def many(transport: SmtpTransport, count: int, **message: Any) -> list[Attempt]:
    """So many messages at once."""
    tasks = [attempt(transport, f"{n}@example.org", **message) for n in range(count)]
    return await asyncio.gather(*tasks)


# -------------------------------------------------------------------- what is together


def test_mail_every_rcpt_and_data_leave_before_any_reply() -> None:
    flight = held("MAIL", "RCPT", "RCPT", "DATA", reply=OK * 3 + b"354 go on\r\n")
    with ScriptedSmtp([*PIPELINING, *flight, DOT, QUIT]) as server:
        made = deliver_once(settings_for(server), ONE, TWO)
    assert made.outcomes == ACCEPTED * 2
    assert [line for line in made.dialogue if "us:" in line][2:] == [
        "us: MAIL FROM:<ada@example.org>",
        f"us: RCPT TO:<{ONE}>",
        f"us: RCPT TO:<{TWO}>",
        "us: DATA",
        f"us: ({len(CONTENT_BYTES)} bytes of content)",
    ]


def test_the_next_message_rides_behind_the_content() -> None:
    behind = held(CONTENT, *FLIGHT, reply=OK * 4 + b"354 go on\r\n")

    async def run(transport: SmtpTransport, _: ScriptedSmtp) -> None:
        made = await many(transport, 3)
        assert [one.outcomes for one in made] == [ACCEPTED] * 3

    first = ONE_MAIL[:3]
    server = talk([*PIPELINING, *first, *behind, *behind, DOT, QUIT], run=run)
    assert server.received[0].count(CONTENT_BYTES + b".\r\n") == 3


def test_a_message_that_comes_while_a_verdict_is_awaited_begins_at_once() -> None:
    async def run(transport: SmtpTransport, server: ScriptedSmtp) -> None:
        first = asyncio.create_task(attempt(transport))
        await asyncio.to_thread(server.wait_for_step, 5)
        assert (await attempt(transport)).outcomes == ACCEPTED
        assert (await first).outcomes == ACCEPTED

    behind = held(CONTENT, *FLIGHT, reply=OK * 4 + b"354 go on\r\n")
    talk([*PIPELINING, *ONE_MAIL[:3], *behind, DOT, QUIT], run=run)


def test_a_stream_of_messages_up_to_the_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "WINDOW_MESSAGES", 4)
    one = ["RSET", "MAIL", "RCPT", CHUNK]
    window = held(CONTENT, *one, *one, *one, reply=OK * 13)
    more = held(*one[1:], *one, reply=OK * 7)

    async def run(transport: SmtpTransport, _: ScriptedSmtp) -> None:
        made = await many(transport, 6)
        assert [one.outcomes for one in made] == [ACCEPTED] * 6
        assert made[1].dialogue[2:5:2] == [
            "us: RCPT TO:<1@example.org>",
            "them: 250 2.0.0 ok",
        ]
        assert made[1].dialogue[3] == f"us: BDAT {len(CONTENT_BYTES)} LAST"

    server = talk([*CHUNKING, *ONE_MAIL[:3], *window, *more, QUIT], run=run)
    chunk = b"BDAT %d LAST\r\n" % len(CONTENT_BYTES) + CONTENT_BYTES
    assert server.received[0].count(chunk) == 5


def test_a_stream_is_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "WINDOW_BYTES", 2 * len(CONTENT_BYTES))

    async def run(transport: SmtpTransport, _: ScriptedSmtp) -> None:
        made = await many(transport, 3)
        assert [one.outcomes for one in made] == [ACCEPTED] * 3

    # two in flight, the first of them as DATA: the third comes after its verdict
    steps = [*ONE_MAIL[:3], *held(CONTENT, "RSET", "MAIL", "RCPT", CHUNK, reply=OK)]
    rest = [*held("RSET", "MAIL", "RCPT", CHUNK, reply=OK * 8), QUIT]
    talk([*CHUNKING, *steps, *rest], run=run)


def test_a_large_content_waits_for_the_go_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "STREAMED_BYTES", 10)

    async def run(transport: SmtpTransport, _: ScriptedSmtp) -> None:
        made = await many(transport, 2)
        assert [one.outcomes for one in made] == [ACCEPTED] * 2

    talk([*CHUNKING, *ONE_MAIL, *RIDER, QUIT], run=run)


def test_dots_are_doubled_in_data_and_not_in_bdat() -> None:
    dotted = b"Subject: x\r\n\r\n.\r\n..\r\n"

    async def run(transport: SmtpTransport, _: ScriptedSmtp) -> None:
        await many(transport, 2, content=dotted)

    server = talk([*CHUNKING, *ONE_MAIL, RSET, MAIL, RCPT, VERDICT, QUIT], run=run)
    assert dotted.replace(b"\n.", b"\n..") + b".\r\n" in server.received[0]
    assert b"BDAT %d LAST\r\n" % len(dotted) + dotted in server.received[0]


@pytest.mark.parametrize("offer", [["CHUNKING"], ["8BITMIME"]])
def test_without_pipelining_one_command_at_a_time(offer: list[str]) -> None:
    async def run(transport: SmtpTransport, _: ScriptedSmtp) -> None:
        made = await many(transport, 2)
        assert [one.outcomes for one in made] == [ACCEPTED] * 2
        dialogue = made[1].dialogue
        assert [line.partition(":")[0] for line in dialogue[1:]] == ["us", "them"] * 4

    talk([COPING, ehlo(*offer), *ONE_MAIL, *ONE_MAIL, QUIT], run=run)


# ------------------------------------------------------------------------- refusals


def test_the_content_is_sent_for_accepted_recipients() -> None:
    flight = held(
        "MAIL",
        "RCPT",
        "RCPT",
        "DATA",
        reply=OK + b"452 4.2.2 full\r\n" + OK + b"354 go on\r\n",
    )
    with ScriptedSmtp([*PIPELINING, *flight, DOT, QUIT]) as server:
        made = deliver_once(settings_for(server), ONE, TWO)
    assert made.outcomes == [Outcome.DEFERRED, Outcome.ACCEPTED]


def test_a_go_ahead_without_accepted_recipients_gets_an_empty_message() -> None:
    """RFC 2920 section 3.1."""
    for verdict in (b"554 5.5.1 no valid recipients\r\n", OK):
        nobody = [MAIL, REFUSED, DATA, Step(CONTENT, verdict), RSET]
        with ScriptedSmtp([*PIPELINING, *nobody, QUIT]) as server:
            made = deliver_once(settings_for(server))
            server.wait_for_end()
        assert made.outcomes == [Outcome.REFUSED]
        assert not made.progress.final_dot_sent
        assert b".\r\n" in server.received[0]


def test_a_go_ahead_after_a_refused_sender_gets_nothing() -> None:
    """The server has somebody in mind, and who knows with whose message."""
    flight = held("MAIL", "RCPT", "DATA", reply=b"550 never\r\n" + OK + b"354 go\r\n")
    with ScriptedSmtp([*PIPELINING, *flight]) as server:
        made = deliver_once(settings_for(server))
        server.wait_for_end()
    assert made.outcomes == [Outcome.REFUSED]
    assert not made.progress.final_dot_sent
    assert server.commands()[-1] == "DATA"


def test_the_transaction_is_reset_after_a_refused_stream() -> None:
    async def run(transport: SmtpTransport, _: ScriptedSmtp) -> None:
        made = await many(transport, 2)
        assert [one.outcomes for one in made] == [ACCEPTED, [Outcome.REFUSED]]
        assert (await attempt(transport)).outcomes == ACCEPTED

    refused = [RSET, MAIL, REFUSED, Step(CHUNK, b"503 5.5.1 no recipients\r\n")]
    talk([*CHUNKING, *ONE_MAIL, *refused, RSET, *ONE_MAIL, QUIT], run=run)


def test_a_demanded_login_is_the_transports_fault_with_pipelining_too() -> None:
    flight = held("MAIL", "RCPT", "DATA", reply=b"530 5.7.0 log in\r\n" * 3)
    with ScriptedSmtp([*PIPELINING, *flight, QUIT]) as server:
        assert "before a login" in deliver_once(settings_for(server)).reason


def test_a_neighbour_with_an_invalid_envelope_harms_no_other() -> None:
    async def run(transport: SmtpTransport, _: ScriptedSmtp) -> None:
        results = await asyncio.gather(
            attempt(transport),
            attempt(transport, return_path="a\rb@example.org"),
            attempt(transport),
            return_exceptions=True,
        )
        assert isinstance(results[1], ValueError)
        assert isinstance(results[0], Attempt)
        assert isinstance(results[2], Attempt)
        assert results[0].outcomes == results[2].outcomes == ACCEPTED

    talk([*PIPELINING, *ONE_MAIL, *RIDER, QUIT], run=run)


# ---------------------------------------------------------------- what comes after 421


@pytest.mark.parametrize(
    ("behind", "outcome"),
    [
        ([RSET, MAIL, RCPT, VERDICT], Outcome.ACCEPTED),
        ([RSET, MAIL, RCPT, Step(CHUNK, b"550 no\r\n")], Outcome.REFUSED),
    ],
)
def test_a_server_that_goes_on_after_421_is_heard(
    behind: list[Step], outcome: Outcome
) -> None:
    async def run(transport: SmtpTransport, _: ScriptedSmtp) -> None:
        made = await many(transport, 3)
        assert [one.outcomes for one in made] == [ACCEPTED, ACCEPTED, [outcome]]

    going = [RSET, MAIL, RCPT, Step(CHUNK, b"421 4.3.2 going down\r\n")]
    other = [*CHUNKING, *ONE_MAIL, QUIT]
    talk([*CHUNKING, *ONE_MAIL, *going, *behind], other, run=run)


def test_messages_not_reached_before_a_421_are_sent_on_another_connection() -> None:
    """Though it was past the final dot: the server has said that it stops before."""

    async def run(transport: SmtpTransport, _: ScriptedSmtp) -> None:
        made = await many(transport, 3)
        assert [one.outcomes for one in made] == [ACCEPTED] * 3

    going = [RSET, MAIL, RCPT, Step(CHUNK, b"421 4.3.2 going down\r\n", CLOSE)]
    other = [*CHUNKING, *ONE_MAIL, RSET, MAIL, RCPT, VERDICT, QUIT]
    talk([*CHUNKING, *ONE_MAIL, *going], other, run=run)


def test_a_connection_carries_no_more_messages_than_allowed() -> None:
    async def run(transport: SmtpTransport, _: ScriptedSmtp) -> None:
        made = await many(transport, 4)
        assert [one.outcomes for one in made] == [ACCEPTED] * 4

    script = [*PIPELINING, *ONE_MAIL, *RIDER, QUIT]
    server = talk(script, script, run=run, max_messages_per_connection=2)
    assert server.connections_made == 2


def test_a_used_up_connection_is_ended_once() -> None:
    """However many verdicts come in one packet, after which it carries nothing more."""

    async def run(transport: SmtpTransport, server: ScriptedSmtp) -> None:
        made = await many(transport, 3)
        assert [one.outcomes for one in made] == [ACCEPTED] * 3
        await asyncio.to_thread(server.wait_for_end)

    rest = held(CONTENT, *["RSET", "MAIL", "RCPT", CHUNK] * 2, reply=OK * 9)
    script = [*CHUNKING, *ONE_MAIL[:3], *rest, Step("QUIT"), QUIT]
    server = talk(script, run=run, max_messages_per_connection=3)
    assert server.commands().count("QUIT") == 1


# ---------------------------------------------------------------------------- fairness


def test_a_slow_verdict_does_not_use_up_the_time_of_the_next() -> None:
    async def run(transport: SmtpTransport, _: ScriptedSmtp) -> None:
        made = await many(transport, 2)
        assert [one.outcomes for one in made] == [ACCEPTED] * 2

    slow = Step(CONTENT, Pause(2 * HASTY_SECONDS), OK)
    hasty = {"command_timeout_seconds": HASTY_SECONDS}
    talk([*PIPELINING, *ONE_MAIL[:3], slow, *RIDER, QUIT], run=run, **hasty)


def test_the_deadline_of_the_next_begins_with_its_turn() -> None:
    async def run(transport: SmtpTransport, _: ScriptedSmtp) -> None:
        made = await many(transport, 3)
        assert [one.outcomes for one in made] == [ACCEPTED] * 3

    slow = Step(CONTENT, Pause(HASTY_SECONDS), OK)
    script = [RSET, *ONE_MAIL[:3], slow] * 3
    bound = {"deadline_seconds": 2 * HASTY_SECONDS}
    talk([*PIPELINING, *script[1:], QUIT], run=run, **bound)


# ------------------------------------------------------------------------ cancellation


async def two_in_flight(
    transport: SmtpTransport, server: ScriptedSmtp, step: int
) -> list[asyncio.Task[Attempt]]:
    """Two messages, once the server has come to that step."""
    tasks = [asyncio.create_task(attempt(transport)) for _ in range(2)]
    await asyncio.to_thread(server.wait_for_step, step)
    return tasks


def test_the_next_is_delivered_elsewhere_if_the_first_is_cancelled() -> None:
    async def run(transport: SmtpTransport, server: ScriptedSmtp) -> None:
        first, second = await two_in_flight(transport, server, 5)
        first.cancel()
        assert (await second).outcomes == ACCEPTED
        assert first.cancelled()

    stalled = [*PIPELINING, *ONE_MAIL[:3], Step(CONTENT, STALL)]
    talk(stalled, [*PIPELINING, *ONE_MAIL, QUIT], run=run)


def test_the_first_is_not_harmed_if_the_next_is_cancelled() -> None:
    async def run(transport: SmtpTransport, server: ScriptedSmtp) -> None:
        first, second = await two_in_flight(transport, server, 6)
        second.cancel()
        made = await first
        assert made.outcomes == ACCEPTED
        assert (await attempt(transport)).outcomes == ACCEPTED

    # the server has read the next one's RSET when its verdict on the first comes
    steps = [*ONE_MAIL[:3], Step(CONTENT), Step("RSET", Pause(HASTY_SECONDS), OK)]
    talk([*PIPELINING, *steps], [*PIPELINING, *ONE_MAIL, QUIT], run=run)


@pytest.mark.parametrize("cancelled", [0, 1, 2])
def test_one_of_a_stream_can_be_cancelled(cancelled: int) -> None:
    async def run(transport: SmtpTransport, server: ScriptedSmtp) -> None:
        tasks = [asyncio.create_task(attempt(transport)) for _ in range(3)]
        await asyncio.to_thread(server.wait_for_step, len(steps) - 2)
        tasks[cancelled].cancel()
        await asyncio.wait(tasks)
        others = [one.result().outcomes for one in tasks if not one.cancelled()]
        assert others == [ACCEPTED] * 2

    last = Step(CHUNK, Pause(HASTY_SECONDS), OK * 9)
    streamed = ["RSET", "MAIL", "RCPT", CHUNK]
    window = [*held(CONTENT, *streamed, *streamed[:3], reply=b"")]
    steps = [*CHUNKING, *ONE_MAIL[:3], *window, last, QUIT]
    server = talk(steps, run=run)
    assert server.connections_made == 1


def test_all_of_a_stream_cancelled_end_the_connection() -> None:
    async def run(transport: SmtpTransport, server: ScriptedSmtp) -> None:
        tasks = [asyncio.create_task(attempt(transport)) for _ in range(3)]
        await asyncio.to_thread(server.wait_for_step, 10)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await asyncio.to_thread(server.wait_for_end)
        assert (await attempt(transport)).outcomes == ACCEPTED

    window = [
        Step(CONTENT),
        Step("RSET"),
        Step("MAIL"),
        Step("RCPT"),
        Step(CHUNK),
        Step("RSET", STALL),
    ]
    stalled = [*CHUNKING, *ONE_MAIL[:3], *window, Step("RSET", STALL)]
    talk(stalled, [*CHUNKING, *ONE_MAIL, QUIT], run=run)
