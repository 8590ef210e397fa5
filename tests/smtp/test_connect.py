"""Connecting to a server and greeting it, over real connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flask_outbox import concurrency
from flask_outbox.config import SmtpSettings
from flask_outbox.delivery import Outcome
from flask_outbox.transports.smtp import SmtpTransport, connect
from tests.servers import CLOSE, STALL, Drip, ScriptedSmtp, Step
from tests.servers.ports import free_port
from tests.waiting import WAIT_SECONDS

from .talk import (
    GREETING,
    HASTY_SECONDS,
    HELLO,
    ONE_MAIL,
    PATIENT_SECONDS,
    QUIT,
    Attempt,
    attempt,
    deliver_once,
    settings_for,
)

SECRET = "correct horse"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


# ---------------------------------------------------------------------------- reaching


def test_a_refused_connection_is_explained() -> None:
    made = deliver_once(SmtpSettings("127.0.0.1", free_port()))
    assert "refused the connection: nothing listens there" in made.reason
    assert made.down is not None
    assert made.down.__cause__ is not None


def test_refused_connections_at_every_address_are_explained() -> None:
    made = deliver_once(SmtpSettings("localhost", free_port()))
    assert "refused the connection: nothing listens there" in made.reason


def test_an_unknown_host_name_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such_name(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    made = deliver_once(SmtpSettings("mail.invalid", 25, local_hostname="me.test"))
    assert "The name mail.invalid cannot be resolved" in made.reason


def test_an_impossible_host_name_is_explained() -> None:
    made = deliver_once(SmtpSettings("x" * 70 + ".test", 25, local_hostname="me.test"))
    assert "cannot be used with these settings" in made.reason


@contextlib.contextmanager
def full_house(address: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port whose queue is full, so that the system answers no further connection."""
    with contextlib.ExitStack() as open_sockets:
        listener = open_sockets.enter_context(socket.socket())
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(4):
            waiting = open_sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])


def test_a_connection_without_an_answer_is_explained() -> None:
    with full_house() as port:
        made = deliver_once(
            SmtpSettings(
                "127.0.0.1",
                port,
                local_hostname="me.test",
                connect_timeout_seconds=HASTY_SECONDS,
            )
        )
    assert f"127.0.0.1:{port} did not answer within 1.5 s" in made.reason


NewLoop = Callable[[], asyncio.AbstractEventLoop]


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def deliver_to(
    settings: SmtpSettings, *found: str, new_loop: NewLoop = asyncio.new_event_loop
) -> Attempt:
    """One attempt at a host whose name has these addresses, in this order."""

    async def look_up(host: str, port: int, **_: object) -> list[object]:
        """uvloop asks for an address too, before it connects to that."""
        kind = socket.SOCK_STREAM, socket.IPPROTO_TCP, ""
        names = found if host == "mail.test" else [host]
        return [(family_of(one), *kind, (one, port)) for one in names]

    def make_loop() -> asyncio.AbstractEventLoop:
        loop = new_loop()
        loop.getaddrinfo = look_up  # type: ignore[assignment, method-assign]
        return loop

    async def run() -> Attempt:
        transport = SmtpTransport(replace(settings, host="mail.test"))
        made = await attempt(transport)
        await transport.close()
        return made

    with asyncio.Runner(loop_factory=make_loop) as runner:
        return runner.run(run())


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, concurrency.new_loop])
def test_the_next_address_is_tried_if_one_does_not_answer(
    new_loop: NewLoop,
) -> None:
    with ScriptedSmtp([*HELLO, *ONE_MAIL, QUIT]) as server:
        found = ["127.0.0.2", "127.0.0.1"]
        with full_house(found[0], server.port):
            made = deliver_to(settings_for(server), *found, new_loop=new_loop)
    assert made.outcomes == [Outcome.ACCEPTED]


def test_the_next_address_is_tried_if_one_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next one does not wait for its time."""
    monkeypatch.setattr(connect, "NEXT_AFTER_SECONDS", PATIENT_SECONDS)
    with ScriptedSmtp([*HELLO, *ONE_MAIL, QUIT]) as server:
        found = ["::1", "::1", "127.0.0.2", "127.0.0.1"]
        made = deliver_to(settings_for(server), *found)
    assert made.outcomes == [Outcome.ACCEPTED]


def test_a_host_without_an_answering_address_is_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connect, "NEXT_AFTER_SECONDS", 0.0)
    with full_house("127.0.0.2") as port, full_house("127.0.0.3", port):
        settings = SmtpSettings("mail.test", port, local_hostname="me.test")
        hasty = replace(settings, connect_timeout_seconds=HASTY_SECONDS)
        made = deliver_to(hasty, "127.0.0.2", "127.0.0.3")
    assert f"mail.test:{port} did not answer within 1.5 s" in made.reason


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        ((STALL,), "sent no greeting within 1.5 s"),
        ((Drip(b"220-slow\r\n" * 50),), "sent no greeting within 1.5 s"),
        ((CLOSE,), "closed the connection before its greeting"),
        ((b"HTTP/1.1 400 Bad Request\r\n",), "does not speak SMTP"),
        ((b"220-more\r\n" * 100_000, STALL), "does not speak SMTP"),
        ((b"x" * 1_000_000, STALL), "does not speak SMTP"),
        ((b"421 too busy\r\n",), "turned us away with its greeting (421 too busy)"),
        ((b"554 blocked\r\n",), "turned us away with its greeting (554 blocked)"),
    ],
    ids=["stall", "drip", "close", "http", "endless", "no line", "421", "554"],
)
def test_a_bad_greeting_is_explained(greeting: tuple[object, ...], words: str) -> None:
    with ScriptedSmtp([Step("", *greeting)]) as server:  # type: ignore[arg-type]
        bound_seconds = HASTY_SECONDS if "1.5 s" in words else PATIENT_SECONDS
        made = deliver_once(settings_for(server, connect_timeout_seconds=bound_seconds))
        server.wait_for_end()
    assert words in made.reason
    assert server.commands() == []


def test_the_connect_phase_is_bounded_as_a_whole() -> None:
    """Each step is quick enough by itself; together they are not."""
    drip = [Drip(GREETING.actions[0]), Drip(EHLO_REPLY)]  # type: ignore[arg-type]
    script = [Step("", drip[0]), Step("EHLO", drip[1]), *ONE_MAIL]
    with ScriptedSmtp(script) as server:
        made = deliver_once(settings_for(server, connect_timeout_seconds=2.0))
        server.wait_for_end()
    assert "was not ready within 2 s: it fell silent after EHLO" in made.reason


EHLO_REPLY = b"250-a\r\n" * 20 + b"250 SIZE\r\n"


# ------------------------------------------------------------------------------ EHLO


def test_a_server_without_ehlo_gets_helo() -> None:
    script = [
        GREETING,
        Step("EHLO", b"502 what\r\n"),
        Step("HELO", b"250 hi\r\n"),
        *ONE_MAIL,
        QUIT,
    ]
    with ScriptedSmtp(script) as server:
        made = deliver_once(settings_for(server))
    assert made.outcomes == [Outcome.ACCEPTED]
    assert "us: HELO client.test" in made.dialogue


@pytest.mark.parametrize(
    ("fqdn", "said"),
    [
        ("box.example.org", "box.example.org"),
        ("localhost", "[127.0.0.1]"),
        ("b\u00f6x.example.org", "[127.0.0.1]"),
        ("b x.example.org\n", "[127.0.0.1]"),
    ],
)
def test_ehlo_has_our_host_name_or_a_literal(
    fqdn: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda: fqdn)
    with ScriptedSmtp([*HELLO, *ONE_MAIL, QUIT]) as server:
        deliver_once(settings_for(server, local_hostname=None))
        server.wait_for_end()
    assert server.commands()[0] == f"EHLO {said}"


def test_our_host_name_is_looked_up_once_and_not_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[None] = []
    answered = threading.Event()

    def slow_dns() -> str:
        asked.append(None)
        answered.wait(WAIT_SECONDS)
        return "late.example.org"

    async def deliver_twice(settings: SmtpSettings) -> None:
        transport = SmtpTransport(settings)
        for _ in range(2):
            made = await attempt(transport)
            assert made.outcomes == [Outcome.ACCEPTED]
        answered.set()
        await transport.close()

    monkeypatch.setattr(socket, "getfqdn", slow_dns)
    monkeypatch.setattr(connect, "OWN_NAME_SECONDS", 0.05)
    script = [*HELLO, *ONE_MAIL, QUIT]
    with ScriptedSmtp(script, script) as server:
        asyncio.run(
            deliver_twice(
                settings_for(server, local_hostname=None, max_messages_per_connection=1)
            )
        )
    assert [server.commands(one)[0] for one in (0, 1)] == ["EHLO [127.0.0.1]"] * 2
    assert len(asked) == 1


def test_an_invalid_local_hostname_opens_no_connection() -> None:
    with ScriptedSmtp() as server:
        made = deliver_once(settings_for(server, local_hostname="a b\r\nMAIL"))
    assert "MAIL_LOCAL_HOSTNAME" in made.reason
    assert server.connections_made == 0
