"""Connections: how many, for how long, and how a closed one is replaced."""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from flask_outbox.config import SmtpSettings
from flask_outbox.delivery import Envelope, Outcome, Progress
from flask_outbox.errors import LeaseLost, TransportDown
from flask_outbox.transports.smtp import SmtpTransport
from flask_outbox.transports.smtp import session as smtp_session
from flask_outbox.transports.smtp import transport as smtp_transport
from tests.servers import (
    CLOSE,
    RESET,
    STALL,
    Behaviour,
    JournalSmtp,
    ScriptedSmtp,
    Step,
)
from tests.servers.scripted_smtp import CONTENT, Action

from .talk import (
    CONTENT_BYTES,
    HASTY_SECONDS,
    HELLO,
    MAIL,
    ONE_MAIL,
    PATIENT_SECONDS,
    QUIT,
    RSET,
    Attempt,
    attempt,
    ehlo,
    settings_for,
)

ACCEPTED = [Outcome.ACCEPTED]
REFUSED = [MAIL, Step("RCPT", b"550 no\r\n")]
SOON_SECONDS = 0.05
PROBE = [MAIL, RSET]
ENVELOPE = Envelope("sender@example.org", ("one@example.org",))


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@asynccontextmanager
async def transport_to(settings: SmtpSettings) -> AsyncIterator[SmtpTransport]:
    transport = SmtpTransport(settings)
    try:
        yield transport
    finally:
        await transport.close()


async def until(true: Callable[[], bool]) -> None:
    """Return once that is so."""
    async with asyncio.timeout(PATIENT_SECONDS):
        while not true():
            await asyncio.sleep(0)


# ----------------------------------------------------------------------------- reuse


def test_one_after_the_other_needs_one_connection(journal: Path) -> None:
    async def run(settings: SmtpSettings) -> None:
        async with transport_to(settings) as transport:
            for _ in range(5):
                made = await attempt(transport)
                assert made.outcomes == ACCEPTED
            assert f"us: on an open connection to {settings.place}" in made.dialogue

    with JournalSmtp(journal) as server:
        asyncio.run(run(settings_for(server)))
        server.wait_until(lambda: server.connections == 0)
    assert (server.connections_made, len(server.mails)) == (1, 5)


def test_connections_are_made_on_demand_and_up_to_the_limit(journal: Path) -> None:
    async def run(server: JournalSmtp) -> None:
        settings = settings_for(server, max_connections=2)
        async with transport_to(settings) as transport:
            assert server.connections_made == 0
            async with asyncio.TaskGroup() as group:
                made = [group.create_task(attempt(transport)) for _ in range(6)]
                await asyncio.to_thread(server.wait_until, lambda: server.held == 2)
                server.behaviour = Behaviour()
            assert [one.result().outcomes for one in made] == [ACCEPTED] * 6

    with JournalSmtp(journal) as server:
        server.behaviour = Behaviour(hang=True)
        asyncio.run(run(server))
    assert server.connections_made == 2
    assert server.most_connections == 2


def test_after_so_many_messages_a_connection_is_replaced(journal: Path) -> None:
    async def run(server: JournalSmtp) -> None:
        settings = settings_for(
            server, max_messages_per_connection=2, max_connections=1
        )
        async with transport_to(settings) as transport:
            for _ in range(5):
                assert (await attempt(transport)).outcomes == ACCEPTED
            server.behaviour = Behaviour(hang=True)
            async with asyncio.TaskGroup() as group:  # the limit holds as before
                for _ in range(3):
                    group.create_task(attempt(transport))
                await asyncio.to_thread(server.wait_until, lambda: server.held == 1)
                server.behaviour = Behaviour()

    with JournalSmtp(journal) as server:
        asyncio.run(run(server))
    assert (server.connections_made, len(server.mails)) == (4, 8)
    assert server.most_connections == 1


def test_a_connection_that_has_served_is_ended_with_quit() -> None:
    async def run(settings: SmtpSettings) -> None:
        async with transport_to(settings) as transport:
            assert (await attempt(transport)).outcomes == ACCEPTED

    with ScriptedSmtp([*HELLO, *ONE_MAIL, QUIT]) as server:
        asyncio.run(run(settings_for(server, max_messages_per_connection=1)))
        server.wait_for_end()
    assert server.commands()[-1] == "QUIT"


def test_a_refused_message_leaves_its_connection_usable() -> None:
    refused = [*REFUSED, Step("RSET", b"250 ok\r\n")]

    async def run(settings: SmtpSettings) -> None:
        async with transport_to(settings) as transport:
            assert (await attempt(transport)).outcomes == [Outcome.REFUSED]
            assert (await attempt(transport)).outcomes == [Outcome.REFUSED]
            assert (await attempt(transport)).outcomes == ACCEPTED

    script = [*HELLO, *refused, *refused, *ONE_MAIL, QUIT]
    with ScriptedSmtp(script) as server:
        asyncio.run(run(settings_for(server)))
    assert server.connections_made == 1


@pytest.mark.parametrize(
    "bad_end", [b"500 what\r\n", b"421 going\r\n"], ids=["500", "421"]
)
def test_a_connection_whose_rset_was_refused_is_not_lent_again(
    bad_end: bytes,
) -> None:
    async def run(settings: SmtpSettings) -> None:
        async with transport_to(settings) as transport:
            assert (await attempt(transport)).outcomes == [Outcome.REFUSED]
            assert (await attempt(transport)).outcomes == ACCEPTED

    script = [*HELLO, *REFUSED, Step("RSET", bad_end), QUIT]
    with ScriptedSmtp(script, [*HELLO, *ONE_MAIL, QUIT]) as server:
        asyncio.run(run(settings_for(server)))
    assert server.connections_made == 2


# ------------------------------------------------------------------------------ idling


def test_an_idle_connection_is_closed() -> None:
    async def run(server: ScriptedSmtp) -> None:
        settings = settings_for(server, idle_seconds=SOON_SECONDS)
        async with transport_to(settings) as transport:
            async with transport.lend(Progress()):
                pass
            await asyncio.to_thread(server.wait_for_end)
            await until(lambda: len(asyncio.all_tasks()) == 1)
            async with transport.lend(Progress()) as session:
                assert not session.kept_open

    with ScriptedSmtp([*HELLO, QUIT], [*HELLO, QUIT]) as server:
        asyncio.run(run(server))
    assert server.connections_made == 2


def test_the_last_used_connection_is_lent_first() -> None:
    async def run(server: ScriptedSmtp) -> None:
        settings = settings_for(server, idle_seconds=SOON_SECONDS)
        async with transport_to(settings) as transport:
            async with (
                transport.lend(Progress()) as old,
                transport.lend(Progress()) as new,
            ):
                pass
            assert old is not new  # and "old" came back last
            async with transport.lend(Progress()) as lent:
                assert lent is old
                await asyncio.to_thread(server.wait_for_end, 1)
                await until(lambda: not new.usable)
                assert old.usable

    with ScriptedSmtp([*HELLO, QUIT], [*HELLO, QUIT]) as server:
        asyncio.run(run(server))


def test_a_busy_connection_is_not_closed_as_idle() -> None:
    async def run(server: ScriptedSmtp) -> None:
        idle_seconds = 10 * SOON_SECONDS  # no machine is that slow between two lends
        settings = settings_for(server, idle_seconds=idle_seconds)
        async with transport_to(settings) as transport:
            for _ in range(4):
                async with transport.lend(Progress()) as session:
                    await asyncio.sleep(idle_seconds / 2)
                    assert session.usable
                await asyncio.sleep(0)

    with ScriptedSmtp([*HELLO, QUIT]) as server:
        asyncio.run(run(server))
    assert server.connections_made == 1


# ------------------------------------------------------------------------------- stale


async def at_once(_: ScriptedSmtp) -> None:
    """Do not wait: the end of the connection may or may not have been noticed."""


async def noticed(server: ScriptedSmtp) -> None:
    """Wait until the end of the first connection has been noticed."""
    await asyncio.to_thread(server.wait_for_end)
    await asyncio.sleep(SOON_SECONDS)


@pytest.mark.parametrize(
    ("ending", "wait"),
    [
        ([Step("", CLOSE)], at_once),
        ([Step("", CLOSE)], noticed),
        ([Step("", RESET)], noticed),
        ([Step("", b"421 idle too long\r\n", CLOSE)], at_once),
        ([Step("", b"421 idle too long\r\n", CLOSE)], noticed),
        ([Step("", b"250 unasked\r\n")], noticed),
        ([Step("", b"2"), Step("", STALL)], noticed),
        ([Step("MAIL", CLOSE)], at_once),
        ([Step("MAIL", RESET)], at_once),
        ([Step("MAIL", b"421 idle too long\r\n", CLOSE)], at_once),
    ],
    ids=[
        "closed, just now",
        "closed",
        "reset",
        "421, just now",
        "421",
        "spoke unasked",
        "half a word",
        "closed at MAIL",
        "reset at MAIL",
        "421 at MAIL",
    ],
)
def test_a_connection_that_ended_while_idle_is_replaced_unseen(
    ending: list[Step], wait: Callable[[ScriptedSmtp], Awaitable[None]]
) -> None:
    async def run(server: ScriptedSmtp) -> None:
        async with transport_to(settings_for(server)) as transport:
            assert (await attempt(transport)).outcomes == ACCEPTED
            await wait(server)
            assert (await attempt(transport)).outcomes == ACCEPTED

    script = [*HELLO, *ONE_MAIL, *ending]
    with ScriptedSmtp(script, [*HELLO, *ONE_MAIL, QUIT]) as server:
        asyncio.run(run(server))
    assert server.connections_made == 2


def test_several_stale_connections_are_replaced_unnoticed(journal: Path) -> None:
    async def run(server: JournalSmtp) -> None:
        async with transport_to(settings_for(server)) as transport:
            await asyncio.gather(*(attempt(transport) for _ in range(4)))
            server.go_down()
            server.come_back()
            made = await asyncio.gather(*(attempt(transport) for _ in range(4)))
            assert [one.outcomes for one in made] == [ACCEPTED] * 4

    with JournalSmtp(journal) as server:
        server.behaviour = Behaviour(delay_seconds=SOON_SECONDS)
        asyncio.run(run(server))
    assert len(server.mails) == 8


def test_a_stale_connection_to_a_server_that_is_down_is_an_outage(
    journal: Path,
) -> None:
    async def run(server: JournalSmtp) -> None:
        async with transport_to(settings_for(server)) as transport:
            assert (await attempt(transport)).outcomes == ACCEPTED
            server.go_down()
            assert "refused the connection" in (await attempt(transport)).reason
            server.come_back()
            assert (await attempt(transport)).outcomes == ACCEPTED

    with JournalSmtp(journal) as server:
        asyncio.run(run(server))


def test_a_fresh_connection_that_ends_is_not_tried_again() -> None:
    async def run(server: ScriptedSmtp) -> None:
        async with transport_to(settings_for(server)) as transport:
            made = await attempt(transport)
            assert made.outcomes == [Outcome.DEFERRED]
            assert made.replies == [
                "connection lost before the final dot, after MAIL FROM"
            ]

    with ScriptedSmtp([*HELLO, Step("MAIL", CLOSE)]) as server:
        asyncio.run(run(server))
    assert server.connections_made == 1


def test_once_mail_was_answered_a_kept_connection_is_like_any_other() -> None:
    async def run(server: ScriptedSmtp) -> None:
        async with transport_to(settings_for(server)) as transport:
            assert (await attempt(transport)).outcomes == ACCEPTED
            assert (await attempt(transport)).outcomes == [Outcome.DEFERRED]

    with ScriptedSmtp([*HELLO, *ONE_MAIL, MAIL, Step("RCPT", CLOSE)]) as server:
        asyncio.run(run(server))
    assert server.connections_made == 1


# ------------------------------------------------- a server that lets only so many in


async def many(transport: SmtpTransport, count: int) -> list[Attempt]:
    return await asyncio.gather(*(attempt(transport) for _ in range(count)))


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == "flask_outbox"]


@pytest.mark.parametrize("beyond", ["421 4.7.0 too many connections", ""])
def test_mail_is_sent_by_as_many_connections_as_the_server_admits(
    beyond: str, journal: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run(server: JournalSmtp) -> None:
        settings = settings_for(server, max_connections=6)
        async with transport_to(settings) as transport:
            for _ in range(3):
                made = await many(transport, 10)
                assert [one.outcomes for one in made] == [ACCEPTED] * 10

    with JournalSmtp(journal) as server:
        server.behaviour = Behaviour(most_connections=2, beyond=beyond)
        asyncio.run(run(server))
    assert (len(server.mails), server.turned_away) == (30, 4)
    (said,) = warned(caplog)
    assert said.endswith("set MAIL_MAX_CONNECTIONS = 2.")


def test_a_server_that_admits_no_connection_is_down(
    journal: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run(server: JournalSmtp) -> None:
        settings = settings_for(server, max_connections=3)
        async with transport_to(settings) as transport:
            for made in await many(transport, 10):
                assert "turned us away with its greeting (421 4.7.0" in made.reason
            server.behaviour = Behaviour(hang=True)
            async with asyncio.TaskGroup() as group:  # as many as ever
                group.create_task(many(transport, 3))
                await asyncio.to_thread(server.wait_until, lambda: server.held == 3)
                server.behaviour = Behaviour()

    with JournalSmtp(journal) as server:
        server.behaviour = Behaviour(most_connections=0)
        asyncio.run(run(server))
    assert server.turned_away == 3
    assert warned(caplog) == []


def test_more_connections_are_tried_again_after_a_while(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(server: JournalSmtp) -> None:
        settings = settings_for(server, max_connections=3)
        async with transport_to(settings) as transport:
            await many(transport, 3)
            server.behaviour = Behaviour(hang=True)
            async with asyncio.TaskGroup() as group:
                group.create_task(many(transport, 3))
                await asyncio.to_thread(server.wait_until, lambda: server.held == 3)
                server.behaviour = Behaviour()

    monkeypatch.setattr(smtp_transport, "FEWER_SECONDS", 0.0)
    with JournalSmtp(journal) as server:
        server.behaviour = Behaviour(most_connections=1)
        asyncio.run(run(server))
    assert server.most_connections == 3


# -------------------------------------------------------------------------------- probe


def test_a_probe_connects_and_its_connection_is_used(journal: Path) -> None:
    async def run(settings: SmtpSettings) -> None:
        async with transport_to(settings) as transport:
            await transport.probe()
            assert (await attempt(transport)).outcomes == ACCEPTED

    with JournalSmtp(journal) as server:
        asyncio.run(run(settings_for(server)))
    assert server.connections_made == 1


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        ([MAIL, RSET], 1),
        ([Step("MAIL", b"550 no bounces here\r\n"), RSET], 1),
        ([Step("MAIL", b"530 log in\r\n")], 2),
        ([Step("MAIL", b"421 bye\r\n", CLOSE)], 2),
        ([Step("MAIL", CLOSE)], 2),
        ([Step("MAIL", STALL)], 2),
    ],
    ids=["250", "550", "530", "421", "closed", "stalled"],
)
def test_a_probe_uses_a_kept_connection_that_still_works(
    answer: list[Step], connections: int
) -> None:
    async def run(server: ScriptedSmtp) -> None:
        settings = settings_for(server, command_timeout_seconds=HASTY_SECONDS)
        async with transport_to(settings) as transport:
            await transport.probe()
            await transport.probe()

    first, second = [*HELLO, *PROBE, *answer, QUIT], [*HELLO, *PROBE, QUIT]
    with ScriptedSmtp(first, second) as server:
        asyncio.run(run(server))
    assert server.connections_made == connections


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"530 5.7.0 log in\r\n", "before a login or TLS (530 5.7.0 log in)"),
        (b"421 4.3.2 not now\r\n", "no mail at the moment (421 4.3.2 not now)"),
        (CLOSE, "before the first mail: connection lost"),
    ],
    ids=["530", "421", "closed"],
)
def test_a_probe_asks_for_more_than_a_greeting(answer: Action, why: str) -> None:
    async def run(server: ScriptedSmtp) -> None:
        async with transport_to(settings_for(server)) as transport:
            with pytest.raises(TransportDown, match=re.escape(why)):
                await transport.probe()

    with ScriptedSmtp([*HELLO, Step("MAIL", answer)]) as server:
        asyncio.run(run(server))


def test_a_probe_of_a_server_that_is_down_fails(journal: Path) -> None:
    async def run(server: JournalSmtp) -> None:
        async with transport_to(settings_for(server)) as transport:
            await transport.probe()
            server.go_down()
            with pytest.raises(TransportDown, match="refused the connection"):
                await transport.probe()
            server.come_back()
            await transport.probe()

    with JournalSmtp(journal) as server:
        asyncio.run(run(server))


# -------------------------------------------------------------------------------- close


def test_a_closed_transport_takes_no_more_mail(journal: Path) -> None:
    async def run(settings: SmtpSettings) -> None:
        transport = SmtpTransport(settings)
        assert (await attempt(transport)).outcomes == ACCEPTED
        await transport.close()
        assert len(asyncio.all_tasks()) == 1
        assert (await attempt(transport)).reason == "This SMTP transport was closed."
        await transport.close()

    with JournalSmtp(journal) as server:
        asyncio.run(run(settings_for(server)))
        server.wait_until(lambda: server.connections == 0)
    assert server.connections_made == 1


def test_close_does_not_wait_long_for_a_goodbye(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run(settings: SmtpSettings) -> None:
        transport = SmtpTransport(settings)
        assert (await attempt(transport)).outcomes == ACCEPTED
        await transport.close()
        assert len(asyncio.all_tasks()) == 1

    monkeypatch.setattr(smtp_session, "QUIT_SECONDS", SOON_SECONDS)
    with ScriptedSmtp([*HELLO, *ONE_MAIL, Step("QUIT", STALL)]) as server:
        asyncio.run(run(settings_for(server)))
        server.wait_for_end()


def test_a_connection_lent_at_the_close_is_closed_when_returned(journal: Path) -> None:
    async def run(server: JournalSmtp) -> None:
        transport = SmtpTransport(settings_for(server))
        delivery = asyncio.create_task(attempt(transport))
        await asyncio.to_thread(server.wait_until, lambda: server.held == 1)
        await transport.close()
        server.behaviour = Behaviour()
        assert (await delivery).outcomes == ACCEPTED
        assert len(asyncio.all_tasks()) == 1

    with JournalSmtp(journal) as server:
        server.behaviour = Behaviour(hang=True)
        asyncio.run(run(server))
        server.wait_until(lambda: server.connections == 0)


@pytest.mark.filterwarnings("error::ResourceWarning")
def test_a_loop_that_ends_without_close_leaves_nothing_open(journal: Path) -> None:
    async def run(settings: SmtpSettings) -> None:
        transport = SmtpTransport(settings)
        await asyncio.gather(*(attempt(transport) for _ in range(3)))

    with JournalSmtp(journal) as server:
        asyncio.run(run(settings_for(server)))
        server.wait_until(lambda: server.connections == 0)
    gc.collect()


# ------------------------------------------------------------------------- cancellation

MESSAGE = (Envelope("ada@example.org", ("one@example.org",)), CONTENT_BYTES)
POINTS = {
    "greeting": [Step("", STALL)],
    "EHLO": [HELLO[0], Step("EHLO", STALL)],
    "TLS": [HELLO[0], ehlo("STARTTLS"), Step("STARTTLS", b"220 go\r\n", STALL)],
    "AUTH": [HELLO[0], ehlo("AUTH PLAIN"), Step("AUTH", STALL)],
    "MAIL": [*HELLO, Step("MAIL", STALL)],
    "RCPT": [*HELLO, MAIL, Step("RCPT", STALL)],
    "DATA": [*HELLO, *ONE_MAIL[:2], Step("DATA", STALL)],
    "final dot": [*HELLO, *ONE_MAIL[:3], Step(CONTENT, STALL)],
    "RSET": [*HELLO, MAIL, Step("RCPT", b"550 no\r\n"), Step("RSET", STALL)],
}


NEEDS: dict[str, dict[str, Any]] = {
    "TLS": {"security": "starttls"},
    "AUTH": {"username": "ada", "password": "secret", "auth_unencrypted": True},
}


@pytest.mark.parametrize("point", POINTS)
def test_a_cancelled_delivery_closes_its_connection_and_frees_its_slot(
    point: str,
) -> None:
    script, needs = POINTS[point], NEEDS.get(point, {})

    async def run(server: ScriptedSmtp) -> None:
        settings = settings_for(server, max_connections=1, **needs)
        async with transport_to(settings) as transport:
            progress = Progress()
            delivery = asyncio.create_task(transport.deliver(*MESSAGE, progress))
            await asyncio.to_thread(server.wait_for_step, len(script) - 1)
            delivery.cancel()
            await asyncio.wait({delivery}, timeout=PATIENT_SECONDS / 2)
            assert delivery.cancelled()
            await asyncio.to_thread(server.wait_for_end)
            assert progress.final_dot_sent == (point == "final dot")
            async with asyncio.timeout(PATIENT_SECONDS):  # the slot is free
                assert "closed the connection" in (await attempt(transport)).reason

    with ScriptedSmtp(script) as server:
        asyncio.run(run(server))


def test_a_cancelled_probe_closes_its_connection() -> None:
    async def run(server: ScriptedSmtp) -> None:
        async with transport_to(settings_for(server)) as transport:
            await transport.probe()
            probe = asyncio.create_task(transport.probe())
            await asyncio.to_thread(server.wait_for_step, 4)
            probe.cancel()
            with pytest.raises(asyncio.CancelledError):
                await probe
            assert (await attempt(transport)).outcomes == ACCEPTED

    script = [*HELLO, *PROBE, Step("MAIL", STALL)]
    with ScriptedSmtp(script, [*HELLO, *ONE_MAIL, QUIT]) as server:
        asyncio.run(run(server))
    assert server.connections_made == 2


def test_a_delivery_that_waits_for_a_connection_can_be_cancelled(journal: Path) -> None:
    async def run(server: JournalSmtp) -> None:
        settings = settings_for(server, max_connections=1)
        async with transport_to(settings) as transport:
            first = asyncio.create_task(attempt(transport))
            await asyncio.to_thread(server.wait_until, lambda: server.held == 1)
            second = asyncio.create_task(attempt(transport))
            third = asyncio.create_task(attempt(transport))
            await asyncio.sleep(0)
            second.cancel()
            server.behaviour = Behaviour()
            assert (await first).outcomes == ACCEPTED
            assert (await third).outcomes == ACCEPTED
            assert second.cancelled()

    with JournalSmtp(journal) as server:
        server.behaviour = Behaviour(hang=True)
        asyncio.run(run(server))
    assert (server.connections_made, len(server.mails)) == (1, 2)


# ----------------------------------------------------------------------------- leases


@pytest.mark.parametrize("looks", [[False], [True, False]], ids=["MAIL", "final dot"])
def test_a_message_whose_lease_was_lost_is_not_sent(
    journal: Path, looks: list[bool]
) -> None:
    """The lease is looked at before the first byte leaves, and before the last."""

    async def run(server: JournalSmtp) -> Outcome:
        async with transport_to(settings_for(server)) as transport:
            assert (await attempt(transport)).outcomes == ACCEPTED
            answers = iter(looks)
            progress = Progress(lease_holds=lambda: next(answers))
            with pytest.raises(LeaseLost):
                await transport.deliver(ENVELOPE, CONTENT_BYTES, progress)
            assert not progress.final_dot_sent
            (outcome,) = (await attempt(transport)).outcomes
            return outcome

    with JournalSmtp(journal) as server:
        assert asyncio.run(run(server)) is Outcome.ACCEPTED
        assert len(server.mails) == 2
