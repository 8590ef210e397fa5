"""The dev inbox: accepts everything, and sends nothing."""

from __future__ import annotations

import asyncio

from flask_outbox.delivery import Envelope, Progress
from flask_outbox.transports.inbox import InboxTransport


def test_everything_is_accepted_and_nothing_leaves() -> None:
    async def run() -> None:
        transport = InboxTransport()
        await transport.probe()
        envelope = Envelope("a@example.org", ("b@example.org", "c@example.org"))
        progress = Progress()
        report = await transport.deliver(envelope, b"Subject: x\r\n\r\nx\r\n", progress)
        await transport.close()
        assert report.accepted
        assert {str(one.reply) for one in report.recipients.values()} == {
            "kept in the dev inbox: nothing left this machine"
        }
        assert tuple(report.recipients) == envelope.recipients
        assert progress == Progress()

    asyncio.run(run())
