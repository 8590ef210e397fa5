"""Delivery in the caller's thread, without the outbox."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from ..concurrency import run_beside_loops
from ..config import TransportSettings
from ..delivery import Envelope, Outcome, Progress, RecipientReport, Reply, Report
from ..dkim import Signer
from ..mime import Composed
from ..recipient_guard import Guard
from ..transports.base import Transport
from ..transports.registry import transport_for
from .attempt import signed


def deliver_now(
    composed: Composed,
    settings: TransportSettings,
    signer: Signer | None,
    barred: Mapping[str, Reply],
    guard: Guard,
) -> Report:
    """Deliver to all recipients but the ``barred`` ones, which are reported as
    suppressed.

    ``guard`` may redirect the mail. Raises `SigningError`, and whatever the transport
    raises.
    """
    envelope = composed.envelope
    left = tuple(one for one in envelope.recipients if one not in barred)
    reports = {
        address: RecipientReport(Outcome.SUPPRESSED, reply)
        for address, reply in barred.items()
    }
    if left:
        envelope = replace(envelope, recipients=left)
        transport = transport_for(settings, guard)
        delivery = _deliver(transport, signer, envelope, composed.content)
        report = run_beside_loops(lambda: asyncio.run(delivery))
        reports |= report.for_each(left).recipients
    return Report(reports)


def refusals(report: Report) -> str:
    """The recipients for whom the message was not accepted, and why, in a sentence."""
    refused = [
        f"{address}: {one.outcome}, {one.reply}"
        for address, one in report.recipients.items()
        if one.outcome != "accepted"
    ]
    return "The message was not accepted for everyone. " + "; ".join(refused)


async def _deliver(
    transport: Transport,
    signer: Signer | None,
    envelope: Envelope,
    content: bytes,
) -> Report:
    progress = Progress()
    if signer is not None:
        content = await signed(content, signer, progress)
    try:
        return await transport.deliver(envelope, content, progress)
    finally:
        await transport.close()
