"""One attempt at one message: sign → deliver → classify → what is to be recorded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from .backoff import backoff
from .delivery import Outcome, Progress, Reply, Report, State, Verdict, state_of
from .dkim import Signer
from .errors import (
    OVERDUE,
    LeaseLost,
    MessageError,
    SigningError,
    StoreError,
    TransportDown,
)
from .outbox.leases import Record
from .outbox.records import Claim
from .transports.base import Transport

LARGE_BYTES = 256 * 1024
"""From here on signing takes long enough to be kept out of the event loop. Below, an
RSA signature of less than half a millisecond is most of it."""

BROKEN_OFF_SECONDS = 1.0
"""How long a message rests whose delivery the outbox's own trouble broke off."""

SHORT_LENGTH = 500
"""How much is kept of a text that the outbox refuses in full."""

SHORT_REPLIES = 3
"""How many of the replies its story then has; each recipient keeps its own."""

_log = logging.getLogger("flask_outbox")


@dataclass(frozen=True, slots=True)
class Policy:
    """What all attempts have in common: how long to wait for what, and who signs."""

    backoff_base_seconds: float
    backoff_cap_seconds: float
    unknown_wait_seconds: float | None
    """How long an *unknown* message waits to be sent again; None holds it."""
    signer: Signer | None = None
    """Signs what leaves; None leaves it unsigned."""


async def attempt(
    held: Claim,
    transport: Transport,
    policy: Policy,
    clock: Callable[[], float],
    lease_holds: Callable[[], bool] = lambda: True,
) -> Record:
    """Try ``held`` once through ``transport`` and answer what to record.

    A courier that stops (the task is cancelled) gives the message back untried, unless
    the final dot was out already, and so does one whose lease no longer holds. Raises
    `TransportDown`, and nothing else.
    """
    progress = Progress(lease_holds=lease_holds)
    began_at = clock()
    try:
        content = await signed(held.content, policy.signer, progress)
        if not lease_holds():
            raise LeaseLost(OVERDUE)
        report = await transport.deliver(held.envelope, content, progress)
        verdict = classify(held, report, policy, clock())
    except TransportDown:
        raise
    except LeaseLost as error:
        verdict = _untried(str(error))
    except asyncio.CancelledError:
        verdict = _interrupted(held, progress, policy, clock())
    except SigningError as error:
        verdict = _deferred_for_all(held, str(error), policy, clock())
    except Exception as error:
        _log.exception("The transport of lane %s raised on %s.", held.lane, held.id)
        reason = f"the transport raised {error!r}"
        verdict = _deferred_for_all(held, reason, policy, clock())
    return _record(held, verdict, progress, began_at, clock())


async def signed(content: bytes, signer: Signer | None, progress: Progress) -> bytes:
    """The content as it leaves; ``progress`` is told who signed it.

    Raises `SigningError`.
    """
    if signer is None:
        return content
    if len(content) < LARGE_BYTES:
        message = signer.sign(content)
    else:
        message = await asyncio.to_thread(signer.sign, content)
    progress.note("us", message.words)
    return message.content


def untried(
    held: Claim, reason: str, now: float, due_at: float | None = None
) -> Record:
    """What to record for a message that is given back before any attempt.

    It stays due, unless it is said when it is to be looked at again.
    """
    return _record(held, _untried(reason, due_at), Progress(), now, now)


def broken_off(held: Claim, error: BaseException, policy: Policy, now: float) -> Record:
    """What to record where ``error`` broke off its delivery outside the transport.

    Trouble of the outbox, and a courier that stops, spend no attempt.
    """
    if isinstance(error, asyncio.CancelledError):
        return untried(held, "its courier stopped before its turn", now)
    soon = now + BROKEN_OFF_SECONDS
    if isinstance(error, StoreError):
        return untried(held, str(error), now, soon)
    reason = f"its courier met {error!r}"
    try:
        verdict = _deferred_for_all(held, reason, policy, now)
    except Exception:  # what the outbox keeps of it is no message's
        return untried(held, reason, now, soon)
    return _record(held, verdict, Progress(), now, now)


def shortened(record: Record, why: str) -> Record:
    """What to record where the outbox refuses ``record``, which ``why`` explains.

    States and codes stay; what was said is cut, in characters that any database takes.
    """
    said = "what was said is kept in short, for the outbox refused it in full"
    reason = ": ".join(filter(None, [record.verdict.reason, said, why]))
    recipients = {
        address: (state, replace(reply, text=_plain(reply.text)))
        for address, (state, reply) in record.verdict.recipients.items()
    }
    detail = {
        **record.detail,
        "replies": {
            address: str(reply)
            for address, (_, reply) in islice(recipients.items(), SHORT_REPLIES)
        },
        "reason": _plain(reason),
    }
    detail.pop("dialogue", None)
    verdict = replace(record.verdict, recipients=recipients, reason=detail["reason"])
    return replace(record, verdict=verdict, detail=detail)


def _plain(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()[:SHORT_LENGTH]


def blamed(held: Claim, down: TransportDown, policy: Policy, now: float) -> Record:
    """What to record for a message that is itself the trouble: it spends an attempt."""
    reason = f"this message broke off the transport each time: {down}"
    verdict = _deferred_for_all(held, reason, policy, now)
    return _record(held, verdict, Progress(), now, now)


def unrendered(held: Claim, error: Exception, policy: Policy, now: float) -> Record:
    """What to record for a message that could not be rendered.

    What its template makes impossible (`MessageError`) a person has to mend, and fails
    it; other trouble of the app's own, such as a database that is away, defers it.
    """
    if not isinstance(error, MessageError):
        reason = f"it could not be rendered, the app raised {error!r}"
        return _record(
            held, _deferred_for_all(held, reason, policy, now), Progress(), now, now
        )
    reply = Reply.observed(str(error))
    report = Report.same(held.envelope.recipients, Outcome.REFUSED, reply)
    verdict = replace(
        classify(held, report, policy, now), reason="it could not be rendered"
    )
    return _record(held, verdict, Progress(), now, now)


_NEXT = {
    Outcome.ACCEPTED: State.SENT,
    Outcome.DEFERRED: State.PENDING,
    Outcome.REFUSED: State.FAILED,
    Outcome.UNKNOWN: State.UNKNOWN,
    Outcome.SUPPRESSED: State.SUPPRESSED,
}


def classify(held: Claim, report: Report, policy: Policy, now: float) -> Verdict:
    """Turn what the transport reported into what becomes of message and recipients."""
    given_up = now >= held.give_up_at
    recipients = {
        address: (_next_state(one.outcome, given_up), one.reply)
        for address, one in report.recipients.items()
    }
    state = state_of({state for state, _ in recipients.values()} | held.settled)
    deferred = any(
        one.outcome is Outcome.DEFERRED for one in report.recipients.values()
    )
    reason = None
    if given_up and deferred:
        reason = "it was deferred for too long (OUTBOX_GIVE_UP_AFTER)"
    elif state is State.FAILED and report.accepted:
        reason = "not everyone got it: someone's server refused it before"
    due_at = _due_at(state, held, policy, now)
    return Verdict(state, recipients, due_at=due_at, reason=reason)


def _next_state(outcome: Outcome, given_up: bool) -> State:
    state = _NEXT[outcome]
    return State.FAILED if state is State.PENDING and given_up else state


def _due_at(state: State, held: Claim, policy: Policy, now: float) -> float | None:
    """When to look at the message again; its last attempt is where giving up is due."""
    if state is State.PENDING:
        wait = backoff(
            held.attempt,
            base_seconds=policy.backoff_base_seconds,
            cap_seconds=policy.backoff_cap_seconds,
        )
        return min(now + wait, held.give_up_at)
    if state is State.UNKNOWN and policy.unknown_wait_seconds is not None:
        return now + policy.unknown_wait_seconds
    return None


def _untried(reason: str, due_at: float | None = None) -> Verdict:
    return Verdict(State.PENDING, {}, due_at, attempted=False, reason=reason)


def _interrupted(
    held: Claim, progress: Progress, policy: Policy, now: float
) -> Verdict:
    """A courier that stops gives back what it may, and says where nobody can know."""
    if not progress.final_dot_sent:
        return _untried("its courier stopped before the mail was through")
    reply = Reply.observed("the courier stopped after the final dot, before the reply")
    report = Report.same(held.envelope.recipients, Outcome.UNKNOWN, reply)
    return classify(held, report, policy, now)


def _deferred_for_all(held: Claim, reason: str, policy: Policy, now: float) -> Verdict:
    reply = Reply.observed(reason)
    report = Report.same(held.envelope.recipients, Outcome.DEFERRED, reply)
    return classify(held, report, policy, now)


_KINDS = {
    State.SENT: "sent",
    State.PENDING: "deferred",
    State.FAILED: "failed",
    State.UNKNOWN: "unknown",
}


def _record(
    held: Claim, verdict: Verdict, progress: Progress, began_at: float, now: float
) -> Record:
    kind = _KINDS[verdict.state] if verdict.attempted else "released"
    detail: dict[str, Any] = {
        "attempt": held.attempt,
        "seconds": now - began_at,
        "replies": _replies(verdict),
    }
    if verdict.due_at is not None:
        detail["due_at"] = verdict.due_at
    if verdict.reason is not None:
        detail["reason"] = verdict.reason
    if progress.lines:
        detail["dialogue"] = [f"{one.speaker}: {one.text}" for one in progress.lines]
    return Record(held, verdict, now, kind, detail)


def _replies(verdict: Verdict) -> Mapping[str, str]:
    return {address: str(reply) for address, (_, reply) in verdict.recipients.items()}
