"""Direct: delivery in the caller's thread, outside the outbox."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from .attempt import signed
from .config import SmtpSettings
from .delivery import Envelope, Outcome, Progress, RecipientReport, Reply, Report
from .dkim import Signer
from .guard import Guard
from .mime import Composed
from .offhub import greenlets, off_hub
from .transports.base import Transport
from .transports.choice import transport_for


def deliver_now(
    composed: Composed,
    smtp: SmtpSettings | None,
    signer: Signer | None,
    barred: Mapping[str, Reply],
    guard: Guard,
) -> Report:
    """Deliver to all but the ``barred``, whom the report calls suppressed.

    What leaves goes where ``guard`` lets it go.
    """
    envelope = composed.envelope
    left = tuple(one for one in envelope.recipients if one not in barred)
    reports = {
        address: RecipientReport(Outcome.SUPPRESSED, reply)
        for address, reply in barred.items()
    }
    if left:
        envelope = replace(envelope, recipients=left)
        report = _run(
            _deliver(transport_for(smtp, guard), signer, envelope, composed.content)
        )
        reports |= report.recipients
    return Report(reports)


def refusals(report: Report) -> str:
    """For whom the message was not accepted, and why, in a sentence."""
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
    content = await signed(content, signer, progress)
    try:
        return await transport.deliver(envelope, content, progress)
    finally:
        await transport.close()


def _run(delivery: Coroutine[Any, Any, Report]) -> Report:
    """Run a coroutine to its end, in a thread of its own inside a running loop."""
    if greenlets():
        return off_hub(lambda: asyncio.run(delivery))
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(delivery)
    with ThreadPoolExecutor(1) as alone:
        return alone.submit(lambda: asyncio.run(delivery)).result()
