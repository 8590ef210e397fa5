"""Postfix, the most common first hop: what it accepts, and what arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from flask_outbox import Message
from flask_outbox.config import SmtpSettings
from flask_outbox.config.dkim import as_dkim_keys
from flask_outbox.delivery import Outcome
from flask_outbox.dkim import Signer
from flask_outbox.mime import compose
from flask_outbox.transports.smtp import SmtpTransport
from tests.dkim.keyring import ED25519, RSA, verified
from tests.outbox.databases import is_required
from tests.servers import Authority, JournalSmtp, Mail
from tests.servers.postfix import (
    DEFERRED,
    PASSWORD,
    PORTS,
    QUOTA,
    REALM,
    REFUSED,
    SIZE_LIMIT_BYTES,
    USER,
    Postfix,
    why_absent,
)

from .talk import ONE, PATIENT_SECONDS, TWO, attempt, deliver_once

IN_THE_CLEAR = ["plain", "no chunking", "no pipelining", "bare"]
SECURE = {"starttls": "starttls", "tls": "tls"}
ODD = ["quota", "few"]
LOGINS = ["login", "cram-md5", "only plain", "only login"]

MAILS = 500
"""How many a port with odd settings is sent."""

BODY = "Hello\n.\n..\n.dot\n\n" + "x" * 2_000 + "\nGr\u00fc\u00dfe \u2026\n\n\n"


@dataclass(frozen=True)
class Route:
    """Postfix, and the server behind it to which it relays."""

    postfix: Postfix
    behind: JournalSmtp
    authority: Authority

    def settings(self, kind: str, **changes: Any) -> SmtpSettings:
        """Settings that lead to this kind of port."""
        return SmtpSettings(
            self.postfix.host,
            self.postfix.port(kind),
            local_hostname="client.test",
            connect_timeout_seconds=PATIENT_SECONDS,
            command_timeout_seconds=PATIENT_SECONDS,
            **changes,
        )

    def secure(self, kind: str, **changes: Any) -> SmtpSettings:
        """The same over TLS, verified."""
        return self.settings(
            kind,
            security=SECURE.get(kind, "starttls"),
            ca_file=self.authority.ca_file,
            **changes,
        )

    def arrived(self, message_id: str) -> Mail:
        """The mail with this Message-ID, once it has come through."""
        self.behind.wait_until(lambda: self._mails(message_id), PATIENT_SECONDS)
        (mail,) = self._mails(message_id)
        return mail

    def _mails(self, message_id: str) -> list[Mail]:
        return [one for one in self.behind.mails if one.rfc_message_id == message_id]


@pytest.fixture(scope="module")
def route(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Route]:
    reason = why_absent()
    if reason is not None:
        if is_required("postfix"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("postfix")
    authority = Authority(folder)
    with (
        JournalSmtp(folder / "journal") as behind,
        Postfix(authority, relay_to=behind.port) as postfix,
    ):
        yield Route(postfix, behind, authority)


def composed(body: str = BODY, **more: Any) -> tuple[str, bytes]:
    """A message's id and its content."""
    message = Message("Gr\u00fc\u00dfe", [ONE], body, sender="ada@example.com", **more)
    made = compose(message)
    return made.rfc_message_id, made.content


def below_the_trace(content: bytes) -> bytes:
    """What was handed over, without the Received that each relay puts on top."""
    assert content.startswith(b"Received: ")
    lines = content.split(b"\r\n")
    last = max(i for i, line in enumerate(lines) if line.startswith(b"Received: "))
    below = last + 1
    while lines[below].startswith((b" ", b"\t")):
        below += 1
    return b"\r\n".join(lines[below:])


@pytest.mark.parametrize("kind", IN_THE_CLEAR)
def test_content_arrives_unchanged(kind: str, route: Route) -> None:
    message_id, content = composed()
    made = deliver_once(route.settings(kind), ONE, TWO, content=content)
    assert made.outcomes == [Outcome.ACCEPTED] * 2
    mail = route.arrived(message_id)
    assert below_the_trace(mail.content) == content
    assert set(mail.recipients) == {ONE, TWO}


@pytest.mark.parametrize("kind", IN_THE_CLEAR)
def test_signatures_survive_the_relay(kind: str, route: Route) -> None:
    signer = Signer(as_dkim_keys("MAIL_DKIM_KEYS", [RSA, ED25519]))
    message_id, content = composed(html="<p>  Hello\t </p>")
    signed = signer.sign(content).content
    made = deliver_once(route.settings(kind), ONE, content=signed)
    assert made.outcomes == [Outcome.ACCEPTED]
    assert verified(route.arrived(message_id).content) == [True, True]


@pytest.mark.parametrize("kind", IN_THE_CLEAR)
def test_each_recipient_has_a_reply_of_its_own(kind: str, route: Route) -> None:
    message_id, content = composed()
    settings = route.settings(kind)
    made = deliver_once(settings, ONE, REFUSED, DEFERRED, TWO, content=content)
    assert made.outcomes == [
        Outcome.ACCEPTED,
        Outcome.REFUSED,
        Outcome.DEFERRED,
        Outcome.ACCEPTED,
    ]
    assert made.replies[1].startswith("550 5.1.1 <refused@example.org>")
    assert made.replies[2].startswith("450 4.2.1 <deferred@example.org>")
    assert set(route.arrived(message_id).recipients) == {ONE, TWO}


@pytest.mark.parametrize("kind", IN_THE_CLEAR)
def test_the_connection_is_used_again_after_all_recipients_were_refused(
    kind: str, route: Route
) -> None:
    message_id, content = composed()

    async def run() -> None:
        transport = SmtpTransport(route.settings(kind, max_connections=1))
        made = await attempt(transport, REFUSED, DEFERRED, content=content)
        assert made.outcomes == [Outcome.REFUSED, Outcome.DEFERRED]
        made = await attempt(transport, ONE, content=content)
        assert made.outcomes == [Outcome.ACCEPTED]
        assert any("on an open connection" in line for line in made.dialogue)
        await transport.close()

    asyncio.run(run())
    assert route.arrived(message_id).recipients == (ONE,)


@pytest.mark.parametrize("kind", IN_THE_CLEAR)
def test_many_messages_at_a_time_arrive_once(kind: str, route: Route) -> None:
    mails = [composed() for _ in range(40)]

    async def run() -> None:
        transport = SmtpTransport(route.settings(kind, max_connections=4))
        attempts = [attempt(transport, ONE, content=content) for _, content in mails]
        for made in await asyncio.gather(*attempts):
            assert made.outcomes == [Outcome.ACCEPTED]
        await transport.close()

    asyncio.run(run())
    for message_id, content in mails:
        assert below_the_trace(route.arrived(message_id).content) == content


@pytest.mark.parametrize("kind", ["plain", "bare"])
def test_a_message_that_is_too_large_is_refused(kind: str, route: Route) -> None:
    """Known from SIZE without sending it; found out at the end where it is not said."""
    _, content = composed("x" * 70 * (SIZE_LIMIT_BYTES // 60))
    made = deliver_once(route.settings(kind), ONE, content=content)
    assert made.outcomes == [Outcome.REFUSED]
    assert "too " in made.replies[0]


@pytest.mark.parametrize("kind", SECURE)
def test_mail_is_sent_over_tls(kind: str, route: Route) -> None:
    message_id, content = composed()
    made = deliver_once(route.secure(kind), ONE, content=content)
    assert made.outcomes == [Outcome.ACCEPTED]
    assert "us: TLSv1.3, certificate verified" in made.dialogue
    assert below_the_trace(route.arrived(message_id).content) == content


@pytest.mark.parametrize("kind", SECURE)
def test_an_untrusted_certificate_is_refused(kind: str, route: Route) -> None:
    settings = route.settings(kind, security=SECURE[kind])
    assert "cannot be trusted" in deliver_once(settings).reason


def test_a_server_that_demands_tls_is_explained(route: Route) -> None:
    made = deliver_once(route.settings("starttls"))
    assert "takes no mail before a login or TLS (530 5.7.0" in made.reason


@pytest.mark.parametrize("kind", LOGINS)
def test_a_login_works(kind: str, route: Route) -> None:
    message_id, content = composed()
    name = f"{USER}@{REALM}" if kind == "login" else USER
    settings = route.secure(kind, username=name, password=PASSWORD)
    made = deliver_once(settings, ONE, content=content)
    assert made.outcomes == [Outcome.ACCEPTED]
    assert f"us: authenticated as {name}" in made.dialogue
    assert PASSWORD not in "\n".join(made.dialogue)
    assert below_the_trace(route.arrived(message_id).content) == content


@pytest.mark.parametrize("kind", LOGINS)
def test_a_wrong_password_is_explained(kind: str, route: Route) -> None:
    settings = route.secure(kind, username=USER, password="another")
    assert "rejected the login of 'ada' (535 5.7.8" in deliver_once(settings).reason


@pytest.mark.parametrize("kind", ODD)
def test_unusual_server_settings_do_no_harm(kind: str, route: Route) -> None:
    """A full mailbox is found out after the content; a third connection is too many."""
    mails = [composed() for _ in range(MAILS)]
    refused = set(range(3, MAILS, 10)) if kind == "quota" else set()

    async def run() -> None:
        connections = 2 if kind == "quota" else 6
        transport = SmtpTransport(route.settings(kind, max_connections=connections))
        attempts = [
            attempt(transport, QUOTA if number in refused else ONE, content=content)
            for number, (_, content) in enumerate(mails)
        ]
        for number, made in enumerate(await asyncio.gather(*attempts)):
            deferred = number in refused
            wanted = Outcome.DEFERRED if deferred else Outcome.ACCEPTED
            assert made.outcomes == [wanted]
        await transport.close()

    asyncio.run(run())
    for number, (message_id, content) in enumerate(mails):
        if number not in refused:
            assert below_the_trace(route.arrived(message_id).content) == content


def test_the_tests_cover_every_port() -> None:
    assert {*IN_THE_CLEAR, *SECURE, *LOGINS, *ODD} == set(PORTS)
