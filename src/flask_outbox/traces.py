"""OpenTelemetry's spans: one for each hand-over, and one for each attempt.

No attribute has anything of a person: no address, subject, content, key or reply, and
of an error only its class.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Self

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    get_current_span,
    get_tracer,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .delivery import State
from .events import EventKind, attempt_end
from .outbox import Record
from .outbox.records import Claim, NewMessage
from .trace_context import TraceContext

SYSTEM = "flask_outbox"

_SEND = {
    "messaging.system": SYSTEM,
    "messaging.operation.name": "send",
    "messaging.operation.type": "send",
}
_DELIVER = {
    "messaging.system": SYSTEM,
    "messaging.operation.name": "deliver",
    "messaging.operation.type": "process",
}

_NOWHERE = Context()
"""Where an attempt begins: in no trace, whatever its courier was started from."""

_log = logging.getLogger("flask_outbox")


class Traces:
    """Makes the spans of one app, by the tracer provider that the app has set.

    Safe to share between threads, and to fork. What fails in the app's provider is
    logged once, and affects no mail.
    """

    def __init__(self) -> None:
        self._tracer = get_tracer(SYSTEM)
        self._has_failed = False

    def hand_over(self) -> HandOverSpan:
        """A span around the hand-over of one message, or of some rows of a batch."""
        span = self._started("send", kind=SpanKind.PRODUCER, attributes=_SEND)
        return HandOverSpan(span, self._note_trouble)

    def attempt(self, claim: Claim, server: tuple[str, int] | None) -> AttemptSpan:
        """A span around one attempt, in a trace of its own.

        It is linked to the span that handed the message over.
        """
        attributes: dict[str, str | int] = {
            **_DELIVER,
            "messaging.destination.name": claim.lane,
            "messaging.message.id": claim.id,
            "flask_outbox.attempt": claim.attempt,
        }
        if claim.batch is not None:
            attributes["flask_outbox.batch"] = claim.batch
        if server is not None:
            attributes["server.address"], attributes["server.port"] = server
        span = self._started(
            f"deliver {claim.lane}",
            context=_NOWHERE,
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            links=_links(claim.trace),
        )
        return AttemptSpan(span, self._note_trouble, _NOWHERE)

    def _started(self, name: str, **options: Any) -> Span:
        try:
            return self._tracer.start_span(name, **options)
        except Exception:
            self._note_trouble()
            return INVALID_SPAN

    def _note_trouble(self) -> None:
        if not self._has_failed:
            self._has_failed = True
            _log.exception(
                "OpenTelemetry failed to make a span, and may go on failing without "
                "another line here; no mail is affected."
            )


class _CurrentSpan(AbstractContextManager["_CurrentSpan"]):
    """A span that is the current one inside the block, and ends with it."""

    __slots__ = ("_base", "_note_trouble", "_span", "_token")

    def __init__(
        self,
        span: Span,
        note_trouble: Callable[[], None],
        base: Context | None = None,
    ) -> None:
        self._span = span
        self._note_trouble = note_trouble
        self._base = base

    def __enter__(self) -> Self:
        self._token = attach(set_span_in_context(self._span, self._base))
        return self

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        detach(self._token)
        if error is not None:
            self.note_failure(type(error))
        try:
            self._span.end()
        except Exception:
            self._note_trouble()

    def note_failure(self, error: str | type[BaseException]) -> None:
        """Note that it failed, by a word or the class of the error: its text may name
        people.
        """
        if isinstance(error, type):
            error = f"{error.__module__}.{error.__qualname__}"
        self._span.set_status(StatusCode.ERROR)
        self._span.set_attribute("error.type", error)


class HandOverSpan(_CurrentSpan):
    """The span of a hand-over."""

    __slots__ = ()

    @property
    def context(self) -> TraceContext | None:
        """What is kept with the messages; None where the app has set no provider."""
        context = self._span.get_span_context()
        if not context.is_valid:
            return None
        parent = f"{context.trace_id:032x}-{context.span_id:016x}"
        return TraceContext(
            f"00-{parent}-{context.trace_flags:02x}",
            context.trace_state.to_header() or None,
        )

    def note_message(self, lane: str, message_id: str) -> None:
        """Note which message was handed over, and for which lane."""
        self._span.update_name(f"send {lane}")
        self._span.set_attributes(
            {"messaging.destination.name": lane, "messaging.message.id": message_id}
        )

    def note_rows(self, batch: str, rows: Sequence[NewMessage]) -> None:
        """Note how many rows of a batch are handed over, and for which lane, if it is
        the same for all.
        """
        attributes: dict[str, str | int] = {
            "messaging.batch.message_count": len(rows),
            "flask_outbox.batch": batch,
        }
        lane, *others = {one.lane for one in rows}
        if not others:
            self._span.update_name(f"send {lane}")
            attributes["messaging.destination.name"] = lane
        self._span.set_attributes(attributes)


class AttemptSpan(_CurrentSpan):
    """The span of an attempt."""

    __slots__ = ()

    def note_end(self, record: Record) -> None:
        """Note how it ended."""
        outcome = attempt_end(record.verdict.state, attempted=record.verdict.attempted)
        self._span.set_attribute("flask_outbox.outcome", outcome.value)
        if outcome not in (EventKind.SENT, EventKind.RETURNED):
            self.note_failure(_reply_code(record) or outcome.value)


def _reply_code(record: Record) -> str | None:
    """The first reply code by which a recipient did not get it, if there is one."""
    replies = record.verdict.recipients.values()
    codes = (reply.code for state, reply in replies if state is not State.SENT)
    return next((str(code) for code in codes if code is not None), None)


def _links(trace: TraceContext | None) -> Sequence[Link]:
    context = _span_context(trace) if trace else None
    return [Link(context)] if context is not None and context.is_valid else ()


def _span_context(trace: TraceContext) -> SpanContext:
    """The span that was handed over; one that is not valid where it cannot be read."""
    found = TraceContextTextMapPropagator().extract(trace.fields, _NOWHERE)
    return get_current_span(found).get_span_context()
