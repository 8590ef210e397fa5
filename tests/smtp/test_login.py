"""Logging in: mechanisms, tokens, and never unencrypted."""

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

from flask_outbox import oauth
from flask_outbox.delivery import Outcome
from flask_outbox.errors import AccountTrouble, LoginDemanded, LoginRejected
from flask_outbox.transports.smtp import SmtpTransport
from flask_outbox.transports.smtp import login as smtp_login
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
from tests.servers.token_endpoint import TokenEndpoint, refused
from tests.waiting import WAIT_SECONDS

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


def test_a_login_works_with_a_real_server(journal: Path) -> None:
    with JournalSmtp(journal, users={"ada": SECRET}) as server:
        made = deliver_once(settings_for(server, **LOGIN))
        (mail,) = server.wait_for(1)
    assert made.outcomes == [Outcome.ACCEPTED]
    assert mail.login == "ada"
    assert "us: authenticated as ada" in made.dialogue
    assert_no_secret(made.dialogue)


def test_a_wrong_password_is_explained(journal: Path) -> None:
    with JournalSmtp(journal, users={"ada": "another"}) as server:
        made = deliver_once(settings_for(server, **LOGIN))
    assert "rejected the login of 'ada' (535 5.7.8" in made.reason
    assert "MAIL_PASSWORD" in made.reason
    assert_no_secret([*made.dialogue, made.reason])


def test_a_demanded_login_without_credentials_is_explained(journal: Path) -> None:
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


def test_a_login_demanded_for_some_recipients_delays_no_others(journal: Path) -> None:
    with JournalSmtp(journal) as server:
        server.behaviour = Behaviour(recipients={TWO: "530 5.7.1 log in"})
        made = deliver_once(settings_for(server), ONE, TWO)
    assert made.outcomes == [Outcome.ACCEPTED, Outcome.DEFERRED]


def test_a_login_that_the_server_does_not_offer_is_explained(journal: Path) -> None:
    with ScriptedSmtp(HELLO) as server:
        made = deliver_once(settings_for(server, **LOGIN))
        server.wait_for_end()
    assert "offers no login without TLS" in made.reason
    assert server.commands() == ["EHLO client.test"]


def test_a_server_with_unknown_mechanisms_only_is_explained() -> None:
    with ScriptedSmtp([GREETING, ehlo("AUTH GSSAPI")]) as server:
        made = deliver_once(settings_for(server, **LOGIN))
        server.wait_for_end()
    assert "no login by CRAM-MD5, PLAIN or LOGIN (it offers GSSAPI)" in made.reason
    assert server.commands() == ["EHLO client.test"]


def test_a_login_that_fails_temporarily_is_explained() -> None:
    script = [GREETING, ehlo("AUTH LOGIN"), Step("AUTH", b"454 4.7.0 later\r\n")]
    with ScriptedSmtp(script) as server:
        made = deliver_once(settings_for(server, **LOGIN))
    assert "cannot check the login of 'ada' at the moment (454 4.7.0" in made.reason


def test_cram_md5_does_not_send_the_password() -> None:
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


def test_a_connection_lost_right_after_the_login_is_an_outage(
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
def test_the_best_offered_mechanism_is_used(offer: str, steps: list[Step]) -> None:
    script = [GREETING, ehlo(f"AUTH {offer}"), *steps, *ONE_MAIL, QUIT]
    with ScriptedSmtp(script) as server:
        made = deliver_once(settings_for(server, **LOGIN))
    assert made.outcomes == [Outcome.ACCEPTED]
    assert_no_secret(made.dialogue)


def test_a_configured_mechanism_is_used() -> None:
    script = [GREETING, ehlo("AUTH CRAM-MD5 PLAIN"), Step("AUTH PLAIN", b"235 ok\r\n")]
    with ScriptedSmtp([*script, *ONE_MAIL, QUIT]) as server:
        made = deliver_once(settings_for(server, auth_mechanism="PLAIN", **LOGIN))
    assert made.outcomes == [Outcome.ACCEPTED]


def test_a_configured_mechanism_that_is_not_offered_is_an_error() -> None:
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


def test_a_rejected_password_is_not_tried_with_another_mechanism() -> None:
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
def test_a_server_that_demands_tls_for_its_login_is_explained(code: int) -> None:
    answer = f"{code} 5.7.11 encrypt\r\n".encode()
    with ScriptedSmtp([GREETING, ehlo("AUTH PLAIN"), Step("AUTH", answer)]) as server:
        made = deliver_once(settings_for(server, **LOGIN))
    assert "takes no login without TLS" in made.reason
    assert "MAIL_USE_TLS" in made.reason


@pytest.mark.parametrize("echo", [SECRET, PLAIN, encoded(SECRET)])
@pytest.mark.parametrize("code", [235, 501, 535])
def test_a_secret_that_the_server_repeats_is_hidden(code: int, echo: str) -> None:
    """In its reply, from where it would get into the history, the log and the lane."""
    answer = f"{code} got '{echo}'\r\n".encode()
    script = [GREETING, ehlo("AUTH PLAIN"), Step("AUTH", answer), *ONE_MAIL, QUIT]
    with ScriptedSmtp(script) as server:
        made = deliver_once(settings_for(server, **LOGIN))
    said = [*made.dialogue, repr(made.down and made.down.__cause__), str(made.down)]
    assert "got '***'" in "".join(said)
    assert_no_secret(said)


# -------------------------------------------------------------------- unencrypted links


@pytest.mark.parametrize("token", [None, lambda: TOKEN], ids=["password", "token"])
def test_no_login_is_made_over_an_unencrypted_connection(
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


def test_a_login_by_token_works() -> None:
    login = Step(f"AUTH XOAUTH2 {XOAUTH2}", b"235 2.7.0 welcome\r\n")
    made, _ = by_token(lambda: TOKEN, login, *ONE_MAIL, QUIT)
    assert made.outcomes == [Outcome.ACCEPTED]
    assert "us: authenticated as ada" in made.dialogue
    assert_no_secret(made.dialogue)


def test_a_rejected_token_is_explained() -> None:
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


def test_a_server_without_token_logins_is_explained() -> None:
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
def test_without_a_token_no_login_is_tried(
    token: Callable[[], Any], words: str
) -> None:
    made, commands = by_token(token)
    assert "MAIL_OAUTH_TOKEN gave no token" in made.reason
    assert words in made.reason
    assert commands == ["EHLO client.test"]


def test_a_token_that_does_not_come_is_not_waited_for() -> None:
    """And the function is not in the event loop's way meanwhile."""
    over = threading.Event()
    made, commands = by_token(
        lambda: over.wait(WAIT_SECONDS), connect_timeout_seconds=HASTY_SECONDS
    )
    over.set()
    assert "MAIL_OAUTH_TOKEN gave no token" in made.reason
    assert "within 1.5 s" in made.reason
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


# ---------------------------------------------------- OAUTHBEARER, and renewed tokens


def bearer(token: str, port: int) -> str:
    """RFC 7628 section 3.1, after its example for SMTP."""
    said = f"n,a=ada=2Cb=3D,\1host=127.0.0.1\1port={port}\1auth=Bearer {token}\1\1"
    return encoded(said)


@pytest.mark.parametrize(
    ("offer", "mechanism"),
    [("PLAIN OAUTHBEARER", None), ("XOAUTH2 OAUTHBEARER", "OAUTHBEARER")],
    ids=["offered", "named"],
)
def test_a_login_by_oauthbearer_works(offer: str, mechanism: str | None) -> None:
    login = Step("AUTH OAUTHBEARER", b"235 2.7.0 welcome\r\n")
    with ScriptedSmtp(
        [GREETING, ehlo(f"AUTH {offer}"), login, *ONE_MAIL, QUIT]
    ) as server:
        settings = settings_for(
            server,
            username="ada,b=",
            oauth_token=lambda: TOKEN,
            auth_unencrypted=True,
            auth_mechanism=mechanism,
        )
        made = deliver_once(settings)
        said = bearer(TOKEN, server.port)
        assert server.commands()[1] == f"AUTH OAUTHBEARER {said}"
    assert made.outcomes == [Outcome.ACCEPTED]
    assert_no_secret(made.dialogue)
    assert said not in "".join(made.dialogue)


def test_a_token_rejected_by_oauthbearer_is_explained() -> None:
    """RFC 7628 section 3.2.3: the client answers the reason with one ^A."""
    status = encoded(json.dumps({"status": "invalid_token"}))
    made, commands = by_token(
        lambda: TOKEN,
        Step("AUTH OAUTHBEARER", f"334 {status}\r\n".encode()),
        Step("AQ==", b"535 5.7.8 not accepted\r\n"),
        offer="OAUTHBEARER",
    )
    assert isinstance(made.down, LoginRejected)
    assert commands[-1] == "AQ=="
    assert_no_secret([*made.dialogue, made.reason])


def test_a_configured_token_mechanism_that_is_not_offered_is_an_error() -> None:
    made, _ = by_token(lambda: TOKEN, auth_mechanism="OAUTHBEARER")
    assert "offers no login by OAUTHBEARER" in made.reason
    assert "it offers PLAIN, XOAUTH2" in made.reason


def xoauth2(token: str) -> str:
    said = f"user=ada\x01auth=Bearer {token}\x01\x01"
    return f"AUTH XOAUTH2 {encoded(said)}"


def tokens_of(endpoint: TokenEndpoint) -> oauth.AccessTokens:
    return oauth.microsoft(
        tenant="t", client_id="c", client_secret="s", authority=endpoint.url
    )


def rejected(token: str) -> list[Step]:
    return [
        Step(xoauth2(token), b"334 e30=\r\n"),
        Step("\r\n", b"535 5.7.8 no\r\n"),
    ]


def test_a_rejected_token_is_renewed_once() -> None:
    with TokenEndpoint() as endpoint:
        tokens = tokens_of(endpoint)
        tokens()
        login = Step(xoauth2("token-2"), b"235 ok\r\n")
        made, _ = by_token(tokens, *rejected("token-1"), login, *ONE_MAIL, QUIT)
        assert len(endpoint.forms) == 2
    assert made.outcomes == [Outcome.ACCEPTED]


def test_a_renewed_token_that_is_rejected_too_is_not_renewed_again() -> None:
    with TokenEndpoint() as endpoint:
        made, commands = by_token(
            tokens_of(endpoint), *rejected("token-1"), *rejected("token-2")
        )
        assert len(endpoint.forms) == 2
    assert isinstance(made.down, LoginRejected)
    assert len([one for one in commands if one.startswith("AUTH")]) == 2
    assert "token-" not in "".join([*made.dialogue, made.reason])


def test_a_wrong_client_secret_is_a_fault_of_the_account() -> None:
    with TokenEndpoint() as endpoint:
        endpoint.answer = lambda _: refused(401, "invalid_client")
        made, commands = by_token(tokens_of(endpoint))
        assert len(endpoint.forms) == 1
    assert isinstance(made.down, AccountTrouble)
    assert "invalid_client" in made.reason
    assert commands == ["EHLO client.test"]
