"""Every transport meets the contract: SMTP, the dev inbox and the APIs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flask_outbox.config import SmtpSettings
from flask_outbox.testing import (
    PeerBehaviour,
    SmtpServer,
    TransportContract,
    TransportPeer,
)
from flask_outbox.testing.transport_contract import LARGE_CONTENT
from flask_outbox.transports.base import Transport
from flask_outbox.transports.inbox import InboxTransport
from flask_outbox.transports.smtp import SmtpTransport
from tests.servers.http_api import FakeApi
from tests.transports.fakes import FAKES, FakeGraph


class InboxPeer(TransportPeer):
    taken: list[frozenset[str]] = []  # noqa: RUF012

    def transport(self, deadline_seconds: float = 30) -> Transport:
        return InboxTransport()

    def behave(self, behaviour: PeerBehaviour) -> None:
        assert behaviour is PeerBehaviour.ACCEPT


class TestInbox(TransportContract):
    behaviours = frozenset({PeerBehaviour.ACCEPT})
    asks_for_lease = False

    @contextmanager
    def peer(self) -> Iterator[TransportPeer]:
        yield InboxPeer()


SCRIPTS = {
    PeerBehaviour.ACCEPT: "accept",
    PeerBehaviour.REFUSE: "550 after the final dot",
    PeerBehaviour.REFUSE_EVE: "550 on RCPT eve@example.org",
    PeerBehaviour.DEFER: "451 after the final dot",
    PeerBehaviour.REJECT_ACCOUNT: "535 on AUTH",
    PeerBehaviour.CUT_BEFORE_END: "close on DATA",
    PeerBehaviour.CUT_AFTER_END: "close after the final dot",
    PeerBehaviour.SILENCE: "stall 60 s after the final dot",
    PeerBehaviour.UNREACHABLE: "refuse connections",
}


class SmtpPeer(TransportPeer):
    secrets = ("hunter2-and-more",)

    def __init__(self, server: SmtpServer) -> None:
        self._server = server

    @property
    def taken(self) -> list[frozenset[str]]:
        return [frozenset(one.recipients) for one in self._server.mails]

    def transport(self, deadline_seconds: float = 30) -> Transport:
        settings = SmtpSettings(
            self._server.host,
            self._server.port,
            username="ada",
            password=self.secrets[0],
            auth_unencrypted=True,
            local_hostname="client.test",
            deadline_seconds=deadline_seconds,
            data_timeout_seconds=deadline_seconds,
        )
        return SmtpTransport(settings)

    def behave(self, behaviour: PeerBehaviour) -> None:
        self._server.script(SCRIPTS[behaviour])


class TestSmtp(TransportContract):
    behaviours = frozenset(SCRIPTS)

    @contextmanager
    def peer(self) -> Iterator[TransportPeer]:
        with SmtpServer() as server:
            yield SmtpPeer(server)


class TestApis(TransportContract):
    @pytest.fixture(autouse=True, params=FAKES, ids=lambda one: one.scheme)
    def _choose(self, request: pytest.FixtureRequest) -> None:
        self._fake: type[FakeApi] = request.param
        if self._fake is FakeGraph:  # it takes no more
            self.large_content = LARGE_CONTENT[:2_900_000]

    def peer(self) -> FakeApi:
        return self._fake()
