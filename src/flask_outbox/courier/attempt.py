"""One attempt at one message: sign → deliver → classify → what to record."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from ..delivery import (
    Outcome,
    Progress,
    Reply,
    Report,
    State,
    Verdict,
    state_of,
    storable,
)
from ..dkim import Signer
from ..errors import (
    OVERDUE,
    LeaseLost,
    MessageError,
    SigningError,
    StoreError,
    TemplateError,
    TransportDown,
    raised,
)
from ..events import attempt_end
from ..limits import backoff
from ..outbox import Record
from ..outbox.records import Claim
from ..trace_context import trace_fields
from ..transports.base import Transport

LARGE_BYTES = 256 * 1024
"""From this size on, signing takes long enough to be done in a thread. For smaller
messages the RSA signature, under half a millisecond, is most of the work."""

BROKEN_OFF_SECONDS = 1.0
"""How long a message waits after a failure of the outbox interrupted its delivery."""

SHORT_LENGTH = 500
"""To how many characters a text is cut if the outbox refuses it in full."""

SHORT_REPLIES = 3
"""How many replies the shortened event has; the recipients keep all of theirs."""

_log = logging.getLogger("flask_outbox")


@dataclass(frozen=True, slots=True)
class Policy:
    """What all attempts share: how long to wait, and who signs."""

    backoff_base_seconds: float
    backoff_cap_seconds: float
    unknown_wait_seconds: float | None
    """After how long an *unknown* message is resent, or longer after several attempts;
    None: a person decides."""
    signer: Signer | None = None
    """Signs what leaves; None leaves it unsigned."""


async def attempt(
    claim: Claim,
    transport: Transport,
    policy: Policy,
    clock: Callable[[], float],
    lease_holds: Callable[[], bool],
) -> Record:
    """Try ``claim`` once through ``transport`` and return what to record.

    If the courier stops (the task is cancelled), the message is returned untried,
    unless the final dot was already sent; likewise if the lease no longer holds. Raises
    `TransportDown`, and nothing else.
    """
    progress = Progress(lease_holds=lease_holds)
    began_at = clock()
    try:
        content = claim.content
        if policy.signer is not None:
            content = await signed(content, policy.signer, progress)
        if not lease_holds():
            raise LeaseLost(OVERDUE)
        report = await transport.deliver(claim.envelope, content, progress)
        verdict = classify(claim, report, policy, clock())
    except TransportDown:
        raise
    except LeaseLost as error:
        verdict = _returned(str(error))
    except asyncio.CancelledError as error:
        if _is_cancelled():
            verdict = _interrupted(claim, progress, policy, clock())
        else:
            verdict = _raised(claim, error, progress, policy, clock())
    except SigningError as error:
        verdict = _same_for_all(claim, Outcome.DEFERRED, str(error), policy, clock())
    except Exception as error:
        verdict = _raised(claim, error, progress, policy, clock())
    record = _record(claim, verdict, progress, began_at, clock())
    if record.provider_ids:
        return replace(record, provider=transport.scheme)
    return record


async def signed(content: bytes, signer: Signer, progress: Progress) -> bytes:
    """Return the content with its signature; ``progress`` notes who signed it.

    Raises `SigningError`.
    """
    if len(content) < LARGE_BYTES:
        message = signer.sign(content)
    else:
        message = await asyncio.to_thread(signer.sign, content)
    progress.note("us", message.words)
    return message.content


def returned_record(
    claim: Claim, reason: str, now: float, due_at: float | None = None
) -> Record:
    """What to record for a message that is returned before any attempt.

    It is due at ``due_at``; without that, it stays due.
    """
    return _record(claim, _returned(reason, due_at), Progress(), now, now)


def never_begun_record(claim: Claim, now: float) -> Record:
    """What to record for a message that was claimed ahead and never begun.

    It is pending as before, with no event in its history.
    """
    return Record(claim, _returned("it was claimed ahead"), now, None, {})


def broken_off_record(
    claim: Claim, error: BaseException, policy: Policy, now: float
) -> Record:
    """What to record if ``error`` interrupted the delivery outside the transport.

    Trouble of the outbox, or a courier that stops, does not count as an attempt.
    """
    if isinstance(error, asyncio.CancelledError):
        return returned_record(claim, "its courier stopped before its turn", now)
    soon = now + BROKEN_OFF_SECONDS
    if isinstance(error, StoreError):
        return returned_record(claim, str(error), now, soon)
    reason = f"its courier failed with {_words(claim, error)}"
    try:
        verdict = _same_for_all(claim, Outcome.DEFERRED, reason, policy, now)
    except Exception:  # what is stored of it is no valid message
        return returned_record(claim, reason, now, soon)
    return _record(claim, verdict, Progress(), now, now)


def shortened_record(record: Record, why: str) -> Record:
    """What to record instead of a ``record`` that the outbox refuses; ``why`` says why.

    States and codes stay. Texts are shortened, and in printable ASCII, which every
    database accepts.
    """
    said = "replies are shortened, because the outbox refused the full record"
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
    detail.pop("provider_ids", None)
    verdict = replace(record.verdict, recipients=recipients, reason=detail["reason"])
    return replace(record, verdict=verdict, detail=detail)


def bare_record(record: Record, _why: str) -> Record:
    """What to record instead of a ``record`` that the outbox refuses shortened, too.

    States and codes stay, without words of others: nobody is suppressed for them.
    """
    reason = "replies are not kept, because the outbox refused them"
    recipients = {
        address: (state, Reply(reply.code, None, ""))
        for address, (state, reply) in record.verdict.recipients.items()
    }
    kept = ("attempt", "seconds", "due_at")
    detail = {name: record.detail[name] for name in kept if name in record.detail}
    return replace(
        record,
        verdict=replace(record.verdict, recipients=recipients, reason=reason),
        detail={**detail, "replies": {}, "reason": reason},
        provider_ids={},
    )


def _plain(text: str) -> str:
    plain = storable(text).encode("ascii", "backslashreplace").decode()
    return plain[:SHORT_LENGTH]


def poison_record(
    claim: Claim, down: TransportDown, policy: Policy, now: float
) -> Record:
    """What to record for a message that itself causes the trouble; counts as an
    attempt.
    """
    reason = f"this message broke the connection each time: {down}"
    verdict = _same_for_all(claim, Outcome.DEFERRED, reason, policy, now)
    return _record(claim, verdict, Progress(), now, now)


def render_failure(
    claim: Claim, error: Exception, policy: Policy, now: float
) -> Record:
    """What to record for a message that could not be rendered.

    `MessageError` fails it: the template is at fault, and a person has to fix it. Any
    other error of the app, such as an unreachable database, defers it.
    """
    if not isinstance(error, MessageError):
        reason = f"it could not be rendered: the app raised {_words(claim, error)}"
        verdict = _same_for_all(claim, Outcome.DEFERRED, reason, policy, now)
        return _record(claim, verdict, Progress(), now, now)
    words = _without_text(error) if claim.hidden else str(error)
    reply = Reply.observed(words)
    report = Report.same(claim.envelope.recipients, Outcome.REFUSED, reply)
    verdict = replace(
        classify(claim, report, policy, now), reason="it could not be rendered"
    )
    return _record(claim, verdict, Progress(), now, now)


def _words(claim: Claim, error: BaseException) -> str:
    """An error in an attempt, for the message's history; of a hidden message without
    its text, which may have something of the content.
    """
    return raised(error) if claim.hidden else repr(error)


def _without_text(error: MessageError) -> str:
    """The place in the template that is at fault, and the kind of the error there."""
    kind = raised(error.__cause__ or error)
    if not isinstance(error, TemplateError) or error.template is None:
        return kind
    line = "" if error.line is None else f", line {error.line}"
    return f"template: {error.template}{line}: {kind}"


def end_payload(
    claim: Claim,
    reason: str | None,
    *,
    replies: Mapping[str, str] | None = None,
    due_at: float | None = None,
    dialogue: Sequence[str] = (),
    suppressed: bool = False,
) -> dict[str, Any]:
    """What each signal says that ends an attempt, but for the courier."""
    return {
        "message_id": claim.id,
        "attempt": claim.attempt,
        "lane": claim.lane,
        "replies": replies or {},
        "due_at": due_at,
        "reason": reason,
        "dialogue": dialogue,
        "hidden": claim.hidden,
        "suppressed": suppressed,
        **trace_fields(claim.trace),
    }


_NEXT = {
    Outcome.ACCEPTED: State.SENT,
    Outcome.DEFERRED: State.PENDING,
    Outcome.REFUSED: State.FAILED,
    Outcome.UNKNOWN: State.UNKNOWN,
    Outcome.SUPPRESSED: State.SUPPRESSED,
}


def classify(claim: Claim, report: Report, policy: Policy, now: float) -> Verdict:
    """Turn a transport's report into the next states of the message and its
    recipients.
    """
    given_up = now >= claim.give_up_at
    report = report.for_each(claim.envelope.recipients)
    recipients = {}
    states = set(claim.settled)
    for address, one in report.recipients.items():
        state = _NEXT[one.outcome]
        if state is State.PENDING and given_up:
            state = State.FAILED
        recipients[address] = state, one.reply
        states.add(state)
    state = state_of(states)
    reason = None
    if given_up and any(
        one.outcome is Outcome.DEFERRED for one in report.recipients.values()
    ):
        reason = "it was deferred for too long (OUTBOX_GIVE_UP_AFTER)"
    elif state is State.FAILED and report.accepted:
        reason = "a server had refused at least one recipient before"
    due_at = _due_at(state, claim, policy, now)
    return Verdict(state, recipients, due_at=due_at, reason=reason)


def _due_at(state: State, claim: Claim, policy: Policy, now: float) -> float | None:
    """When the message is due again; never later than its time to give up.

    None if it is *unknown* and would be resent only after that.
    """
    unknown_wait, cap = policy.unknown_wait_seconds, policy.backoff_cap_seconds
    if state is State.PENDING:
        base = policy.backoff_base_seconds
        wait = backoff(claim.attempt, base_seconds=base, cap_seconds=cap)
        return min(now + wait, claim.give_up_at)
    if state is State.UNKNOWN and unknown_wait is not None:
        wait = backoff(claim.attempt, base_seconds=unknown_wait, cap_seconds=cap)
        due_at = now + max(wait, unknown_wait)
        return due_at if due_at < claim.give_up_at else None
    return None


def _returned(reason: str, due_at: float | None = None) -> Verdict:
    return Verdict(State.PENDING, {}, due_at, attempted=False, reason=reason)


def _interrupted(
    claim: Claim, progress: Progress, policy: Policy, now: float
) -> Verdict:
    """The verdict of a stopped courier: returned, or unknown after the final dot."""
    if not progress.final_dot_sent:
        return _returned("its courier stopped before the message was transmitted")
    reason = "the courier stopped after the final dot, before the reply"
    return _same_for_all(claim, Outcome.UNKNOWN, reason, policy, now)


def _is_cancelled() -> bool:
    """Whether this task is to end. If not, what it awaits has cancelled something of
    its own.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _raised(
    claim: Claim, error: BaseException, progress: Progress, policy: Policy, now: float
) -> Verdict:
    """The verdict if the transport raises what it should not, which is logged:
    deferred, or unknown after the final dot.
    """
    _log.error(
        "The transport of lane %s raised %s on %s.",
        claim.lane,
        raised(error),
        claim.id,
        exc_info=None if claim.hidden else error,
        extra=claim.log_fields,
    )
    reason = f"the transport raised {_words(claim, error)}"
    outcome = Outcome.UNKNOWN if progress.final_dot_sent else Outcome.DEFERRED
    return _same_for_all(claim, outcome, reason, policy, now)


def _same_for_all(
    claim: Claim, outcome: Outcome, reason: str, policy: Policy, now: float
) -> Verdict:
    report = Report.same(claim.envelope.recipients, outcome, Reply.observed(reason))
    return classify(claim, report, policy, now)


def _record(
    claim: Claim, verdict: Verdict, progress: Progress, began_at: float, now: float
) -> Record:
    kind = attempt_end(verdict.state, attempted=verdict.attempted)
    detail: dict[str, Any] = {
        "attempt": claim.attempt,
        "seconds": now - began_at,
        "replies": {
            address: str(reply) for address, (_, reply) in verdict.recipients.items()
        },
    }
    if verdict.due_at is not None:
        detail["due_at"] = verdict.due_at
    if verdict.reason is not None:
        detail["reason"] = verdict.reason
    ids = {address: storable(given) for address, given in progress.provider_ids.items()}
    if ids:
        detail["provider_ids"] = ids
    if progress.lines and not claim.hidden:
        detail["dialogue"] = progress.dialogue
    return Record(claim, verdict, now, kind, detail, provider_ids=ids)
