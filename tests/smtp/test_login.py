"""Logging in: by which way, with what, and never where anyone could read along."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest

from flask_outbox.delivery import Outcome
from flask_outbox.errors import LoginDemanded, LoginRejected
from flask_outbox.transports import smtp_login
from flask_outbox.transports.smtp import SmtpTransport
from tests.servers import (
    CLOSE,
    Authority,
    Behaviour,
    JournalSmtp,
    Pause,
    ScriptedSmtp,
    StartTls,
    Step,
)

from .talk import (
    GREETING,
    HASTY_SECONDS,
    HELLO,
    MAIL,
    ONE,
    ONE_MAIL,
    QUIT,
    RCPT,
    RSET,
    TWO,
    Attempt,
    attempt,
    deliver_once,
    ehlo,
    settings_for,
)

SECRET = "correct horse"
LOGIN: dict[str, Any] = {
    "username": "ada",
    "password": SECRET,
    "auth_unencrypted": True,
}
TOKEN = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


PLAIN = encoded(f"\0ada\0{SECRET}")
XOAUTH2 = encoded(f"user=ada\x01auth=Bearer {TOKEN}\x01\x01")


def assert_no_secret(lines: list[str]) -> None:
    text = "\n".join(lines)
    for secret in (SECRET, PLAIN, encoded(SECRET), TOKEN, XOAUTH2, encoded(TOKEN)):
        assert secret not in text


# ------------------------------------------------------------------------- passwords


def test_a_login_with_a_real_server(journal: Path) -> None:
    with JournalSmtp(journal, users={"ada": SECRET}) as server:
        made = deliver_once(settings_for(server, **LOGIN))
        (mail,) = server.wait_for(1)
    assert made.outcomes == [Outcome.ACCEPTED]
    assert mail.login == "ada"
    assert "us: authenticated as ada" in made.dialogue
    assert_no_secret(made.dialogue)


def test_a_wrong_password(journal: Path) -> None:
    with JournalSmtp(journal, users={"ada": "another"}) as server:
        made = deliver_once(settings_for(server, **LOGIN))
    assert "rejected the login of 'ada' (535 5.7.8" in made.reason
    assert "MAIL_PASSWORD" in made.reason
    assert_no_secret([*made.dialogue, made.reason])


def test_no_login_where_one_is_demanded(journal: Path) -> None:
    with JournalSmtp(journal, users={"ada": SECRET}) as server:
        made = deliver_once(settings_for(server))
    assert "takes no mail before a login or TLS (530 5.7.0" in made.reason
    assert "MAIL_USERNAME" in made.reason


@pytest.mark.parametrize("at", ["at_mail", "at_rcpt", "at_data"])
def test_a_login_may_be_demanded_late(at: str, journal: Path) -> None:
    with JournalSmtp(journal) as server:
        server.behaviour = Behaviour(**{at: "530 5.7.1 log in"})  # type: ignore[arg-type]
        made = deliver_once(settings_for(server), ONE, TWO)
    assert isinstance(made.down, LoginDemanded)
    assert "takes no mail before a login or TLS (530 5.7.1 log in)" in made.reason


@pytest.mark.parametrize("extensions", [(), ("PIPELINING",)], ids=["bare", "flight"])
def test_a_login_may_be_demanded_for_data(extensions: tuple[str, ...]) -> None:
    data = Step("DATA", b"530 5.7.1 log in\r\n")
    script = [GREETING, ehlo(*extensions), MAIL, RCPT, data, RSET, QUIT]
    with ScriptedSmtp(script) as server:
        made = deliver_once(settings_for(server))
    assert isinstance(made.down, LoginDemanded)


def test_a_login_demanded_for_some_holds_up_nobody_else(journal: Path) -> None:
    with JournalSmtp(journal) as server:
        server.behaviour = Behaviour(recipients={TWO: "530 5.7.1 log in"})
        made = deliver_once(settings_for(server), ONE, TWO)
    assert made.outcomes == [Outcome.ACCEPTED, Outcome.DEFERRED]


def test_a_login_where_none_is_offered(journal: Path) -> None:
    with ScriptedSmtp(HELLO) as server:
        made = deliver_once(settings_for(server, **LOGIN))
        server.wait_for_end()
    assert "offers no login without TLS" in made.reason
    assert server.commands() == ["EHLO client.test"]


def test_only_ways_to_log_in_that_we_do_not_know() -> None:
    with ScriptedSmtp([GREETING, ehlo("AUTH GSSAPI")]) as server:
        made = deliver_once(settings_for(server, **LOGIN))
        server.wait_for_end()
    assert "no login by CRAM-MD5, PLAIN or LOGIN (it offers GSSAPI)" in made.reason
    assert server.commands() == ["EHLO client.test"]


def test_a_login_that_fails_for_now() -> None:
    script = [GREETING, ehlo("AUTH LOGIN"), Step("AUTH", b"454 4.7.0 later\r\n")]
    with ScriptedSmtp(script) as server:
        made = deliver_once(settings_for(server, **LOGIN))
    assert "cannot check the login of 'ada' at the moment (454 4.7.0" in made.reason


def test_cram_md5_keeps_the_password_to_itself() -> None:
    script = [
        GREETING,
        ehlo("AUTH CRAM-MD5 PLAIN"),
        Step("AUTH CRAM-MD5", b"334 PDE4OTYuNjk3MTcwOTUyQHg+\r\n"),
        Step("", b""),
        Step("YWRhI", b"235 2.7.0 welcome\r\n"),
        *ONE_MAIL,
        QUIT,
    ]
    with ScriptedSmtp(script) as server:
        made = deliver_once(settings_for(server, **LOGIN))
    assert made.outcomes == [Outcome.ACCEPTED]


def test_the_server_goes_right_after_the_login(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between aiosmtplib's last look at the connection and our session's first."""
    log_in = aiosmtplib.SMTP.auth_plain

    async def log_in_and_lose(
        client: aiosmtplib.SMTP, username: str, password: str
    ) -> object:
        reply = await log_in(client, username, password)
        while client.is_connected:
            await asyncio.sleep(0)
        return reply

    monkeypatch.setitem(smtp_login._WAYS, "PLAIN", log_in_and_lose)
    script = [GREETING, ehlo("AUTH PLAIN"), Step("AUTH", b"235 ok\r\n", CLOSE)]
    with ScriptedSmtp(script) as server:
        made = deliver_once(settings_for(server, **LOGIN))
    assert "closed the connection before the first mail" in made.reason


@pytest.mark.parametrize(
    ("offer", "steps"),
    [
        ("PLAIN", [Step(f"AUTH PLAIN {PLAIN}", b"235 ok\r\n")]),
        ("PLAIN LOGIN", [Step(f"AUTH PLAIN {PLAIN}", b"235 ok\r\n")]),
        (
            "LOGIN",
            [
                Step("AUTH LOGIN\r\n", b"334 VXNlcm5hbWU6\r\n"),
                Step(encoded("ada"), b"334 UGFzc3dvcmQ6\r\n"),
                Step(encoded(SECRET), b"235 ok\r\n"),
            ],
        ),
        (
            "CRAM-MD5 PLAIN",
            [
                Step("AUTH CRAM-MD5", b"504 5.5.4 not today\r\n"),
                Step(f"AUTH PLAIN {PLAIN}", b"235 ok\r\n"),
            ],
        ),
        ("XOAUTH2 PLAIN", [Step(f"AUTH PLAIN {PLAIN}", b"235 ok\r\n")]),
    ],
    ids=["plain", "plain before login", "login", "cram fails", "no token, no xoauth2"],
)
def test_ways_to_log_in(offer: str, steps: list[Step]) -> None:
    script = [GREETING, ehlo(f"AUTH {offer}"), *steps, *ONE_MAIL, QUIT]
    with ScriptedSmtp(script) as server:
        made = deliver_once(settings_for(server, **LOGIN))
    assert made.outcomes == [Outcome.ACCEPTED]
    assert_no_secret(made.dialogue)


def test_a_way_to_log_in_that_is_named() -> None:
    script = [GREETING, ehlo("AUTH CRAM-MD5 PLAIN"), Step("AUTH PLAIN", b"235 ok\r\n")]
    with ScriptedSmtp([*script, *ONE_MAIL, QUIT]) as server:
        made = deliver_once(settings_for(server, auth_mechanism="PLAIN", **LOGIN))
    assert made.outcomes == [Outcome.ACCEPTED]


def test_a_way_to_log_in_that_is_named_and_not_offered() -> None:
    with ScriptedSmtp([GREETING, ehlo("AUTH CRAM-MD5 PLAIN")]) as server:
        made = deliver_once(settings_for(server, auth_mechanism="LOGIN", **LOGIN))
    assert "offers no login by LOGIN (it offers CRAM-MD5, PLAIN)" in made.reason
    assert "MAIL_AUTH_MECHANISM" in made.reason


def test_a_password_is_not_left_to_a_challenge_where_tls_protects_it(
    tmp_path: Path,
) -> None:
    """Many who offer CRAM-MD5 keep no password that it could be checked with."""
    authority = Authority(tmp_path)
    start = Step("STARTTLS", b"220 go\r\n", StartTls(authority.context("127.0.0.1")))
    login = [ehlo("AUTH CRAM-MD5 PLAIN"), Step("AUTH PLAIN", b"235 ok\r\n")]
    script = [GREETING, ehlo("STARTTLS"), start, *login, *ONE_MAIL, QUIT]
    tls = {"security": "starttls", "ca_file": authority.ca_file}
    with ScriptedSmtp(script) as server:
        made = deliver_once(settings_for(server, **LOGIN, **tls))
    assert made.outcomes == [Outcome.ACCEPTED]


def test_a_rejected_password_is_not_tried_in_another_way() -> None:
    login = Step("AUTH CRAM-MD5", b"535 5.7.8 no\r\n")
    with ScriptedSmtp([GREETING, ehlo("AUTH CRAM-MD5 PLAIN LOGIN"), login]) as server:
        made = deliver_once(settings_for(server, **LOGIN))
        server.wait_for_end()
    assert isinstance(made.down, LoginRejected)
    assert "rejected the login of 'ada' (535 5.7.8 no)" in made.reason
    assert len(server.commands()) == 2


@pytest.mark.parametrize("connections", [5, 2])
def test_a_rejected_password_is_tried_by_one_connection(
    connections: int, journal: Path
) -> None:
    tried: list[str] = []

    class Users(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            tried.append(name)
            return super().get(name, default)

    async def run(server: JournalSmtp) -> list[Attempt]:
        settings = settings_for(server, max_connections=connections, **LOGIN)
        transport = SmtpTransport(settings)
        made = await asyncio.gather(*(attempt(transport) for _ in range(5)))
        await transport.close()
        return made

    with JournalSmtp(journal, users=Users(ada="another")) as server:
        made = asyncio.run(run(server))
    assert {one.reason.partition(" (")[0] for one in made} == {
        f"{server.host}:{server.port} rejected the login of 'ada'"
    }
    assert tried == ["ada"]


def test_a_rejection_is_shared_by_a_connection_that_is_late() -> None:
    """It was begun before the password was rejected, and is greeted after that."""

    async def run(server: ScriptedSmtp) -> list[Attempt]:
        transport = SmtpTransport(settings_for(server, max_connections=2, **LOGIN))
        made = await asyncio.gather(*(attempt(transport) for _ in range(2)))
        await transport.close()
        return made

    offer, rejected = ehlo("AUTH PLAIN"), Step("AUTH", b"535 5.7.8 no\r\n")
    late = Step("", Pause(HASTY_SECONDS), b"220 scripted.test ready\r\n")
    with ScriptedSmtp([GREETING, offer, rejected], [late, offer, rejected]) as server:
        made = asyncio.run(run(server))
    assert [type(one.down) for one in made] == [LoginRejected] * 2
    assert server.commands(1) == ["EHLO client.test"]


def test_connections_log_in_together_once_a_login_was_accepted(journal: Path) -> None:
    async def run(server: JournalSmtp) -> None:
        transport = SmtpTransport(settings_for(server, max_connections=3, **LOGIN))
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(attempt(transport))
            await asyncio.to_thread(server.wait_until, lambda: server.held == 3)
            server.behaviour = Behaviour()
        await transport.close()

    with JournalSmtp(journal, users={"ada": SECRET}) as server:
        server.behaviour = Behaviour(hang=True)
        asyncio.run(run(server))
    assert [mail.login for mail in server.mails] == ["ada"] * 3


@pytest.mark.parametrize("code", [530, 538])
def test_a_login_that_wants_tls(code: int) -> None:
    answer = f"{code} 5.7.11 encrypt\r\n".encode()
    with ScriptedSmtp([GREETING, ehlo("AUTH PLAIN"), Step("AUTH", answer)]) as server:
        made = deliver_once(settings_for(server, **LOGIN))
    assert "takes no login without TLS" in made.reason
    assert "MAIL_USE_TLS" in made.reason


@pytest.mark.parametrize("echo", [SECRET, PLAIN, encoded(SECRET)])
@pytest.mark.parametrize("code", [235, 501, 535])
def test_a_server_that_repeats_the_secret(code: int, echo: str) -> None:
    """In its reply, from where it would get into the story, the log and the lane."""
    answer = f"{code} got '{echo}'\r\n".encode()
    script = [GREETING, ehlo("AUTH PLAIN"), Step("AUTH", answer), *ONE_MAIL, QUIT]
    with ScriptedSmtp(script) as server:
        made = deliver_once(settings_for(server, **LOGIN))
    said = [*made.dialogue, repr(made.down and made.down.__cause__), str(made.down)]
    assert "got '***'" in "".join(said)
    assert_no_secret(said)


# -------------------------------------------------------------------- unencrypted links


@pytest.mark.parametrize("token", [None, lambda: TOKEN], ids=["password", "token"])
def test_no_login_over_a_link_that_is_not_encrypted(
    token: Callable[[], str] | None,
) -> None:
    """The settings refuse it at boot; this is the second lock on the same door."""
    offer = ehlo("AUTH CRAM-MD5 PLAIN LOGIN XOAUTH2")
    with ScriptedSmtp([GREETING, offer]) as server:
        made = deliver_once(
            settings_for(server, username="ada", password=SECRET, oauth_token=token)
        )
        server.wait_for_end()
    assert "is not encrypted, so no login was sent" in made.reason
    assert "MAIL_AUTH_UNENCRYPTED" in made.reason
    assert server.commands() == ["EHLO client.test"]


# ----------------------------------------------------------------------------- XOAUTH2


def by_token(
    token: Callable[[], Any], *steps: Step, offer: str = "PLAIN XOAUTH2", **more: Any
) -> tuple[Attempt, list[str]]:
    """One attempt with this token, at a server that plays these steps after EHLO."""
    with ScriptedSmtp([GREETING, ehlo(f"AUTH {offer}"), *steps]) as server:
        made = deliver_once(
            settings_for(
                server,
                username="ada",
                oauth_token=token,
                auth_unencrypted=True,
                **more,
            )
        )
        server.wait_for_end()
    return made, server.commands()


def test_a_login_by_token() -> None:
    login = Step(f"AUTH XOAUTH2 {XOAUTH2}", b"235 2.7.0 welcome\r\n")
    made, _ = by_token(lambda: TOKEN, login, *ONE_MAIL, QUIT)
    assert made.outcomes == [Outcome.ACCEPTED]
    assert "us: authenticated as ada" in made.dialogue
    assert_no_secret(made.dialogue)


def test_a_token_that_is_rejected() -> None:
    """The reason comes as a challenge, which wants an empty answer first."""
    status = encoded(json.dumps({"status": "400", "scope": "https://mail.test/"}))
    made, commands = by_token(
        lambda: TOKEN,
        Step("AUTH XOAUTH2", f"334 {status}\r\n".encode()),
        Step("\r\n", b"535 5.7.8 not accepted\r\n"),
    )
    assert "rejected the login of 'ada' by token (535 5.7.8" in made.reason
    assert "MAIL_OAUTH_TOKEN" in made.reason
    assert commands[-1] == ""
    assert_no_secret([*made.dialogue, made.reason])


def test_a_server_that_takes_no_tokens() -> None:
    asked: list[None] = []
    made, commands = by_token(lambda: asked.append(None), offer="PLAIN LOGIN")
    assert "offers no login by XOAUTH2" in made.reason
    assert "it offers LOGIN, PLAIN" in made.reason
    assert commands == ["EHLO client.test"]
    assert asked == []


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (
            lambda: os.environ["NO_REFRESH_TOKEN"],
            "it raised KeyError (",
        ),
        (lambda: None, "it returned a NoneType"),
        (lambda: b"bytes", "it returned a bytes"),
        (lambda: "", "it returned an empty string"),
    ],
    ids=["raises", "None", "bytes", "empty"],
)
def test_no_token_no_login(token: Callable[[], Any], words: str) -> None:
    made, commands = by_token(token)
    assert "MAIL_OAUTH_TOKEN gave no token" in made.reason
    assert words in made.reason
    assert commands == ["EHLO client.test"]


def test_a_token_that_does_not_come_is_not_waited_for() -> None:
    """And the function is not in the event loop's way meanwhile."""
    over = threading.Event()
    made, commands = by_token(
        lambda: over.wait(10), connect_timeout_seconds=HASTY_SECONDS
    )
    over.set()
    assert "MAIL_OAUTH_TOKEN gave no token" in made.reason
    assert "within 0.3 s" in made.reason
    assert commands == ["EHLO client.test"]


def test_each_connection_has_a_fresh_token(tmp_path: Path) -> None:
    """Over real TLS, verified, with a token that is good for one login."""
    authority = Authority(tmp_path)
    start = Step("STARTTLS", b"220 go\r\n", StartTls(authority.context("127.0.0.1")))
    tokens = ["first", "second"]
    scripts = []
    for token in tokens:
        bearer = encoded(f"user=ada\x01auth=Bearer {token}\x01\x01")
        login = Step(f"AUTH XOAUTH2 {bearer}", b"235 ok\r\n")
        secure = [start, ehlo("AUTH XOAUTH2"), login, *ONE_MAIL, QUIT]
        scripts.append([GREETING, ehlo("STARTTLS"), *secure])
    fresh = iter(tokens)
    with ScriptedSmtp(*scripts) as server:
        for _ in tokens:
            made = deliver_once(
                settings_for(
                    server,
                    security="starttls",
                    ca_file=authority.ca_file,
                    username="ada",
                    oauth_token=lambda: next(fresh),
                )
            )
            assert made.outcomes == [Outcome.ACCEPTED]
