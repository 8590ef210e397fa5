"""Haraka, which answers 503 to what comes with the end of a content."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from flask_outbox.config import SmtpSettings
from flask_outbox.delivery import Outcome
from flask_outbox.transports.smtp import SmtpTransport
from tests.outbox.databases import is_required
from tests.servers.haraka import Haraka, why_absent

from .talk import PATIENT_SECONDS, attempt

MAILS = 500


@pytest.mark.long
def test_all_of_many_arrive_once() -> None:
    reason = why_absent()
    if reason is not None:
        (pytest.fail if is_required("haraka") else pytest.skip)(reason)
    addresses = [f"reader{number}@example.org" for number in range(MAILS)]

    async def run(server: Haraka) -> None:
        settings = SmtpSettings(
            server.host,
            server.port,
            local_hostname="client.test",
            connect_timeout_seconds=PATIENT_SECONDS,
            max_connections=2,
        )
        transport = SmtpTransport(settings)
        attempts = (attempt(transport, one) for one in addresses)
        for made in await asyncio.gather(*attempts):
            assert made.outcomes == [Outcome.ACCEPTED]
        await transport.close()

    with Haraka() as server:
        asyncio.run(run(server))
        assert Counter(server.taken) == Counter(addresses)
