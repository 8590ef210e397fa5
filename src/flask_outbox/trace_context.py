"""The trace in which a message was handed over, as it is kept with the message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class TraceContext(NamedTuple):
    """The span that handed a message over, in the form of W3C Trace Context."""

    traceparent: str
    tracestate: str | None = None

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> TraceContext | None:
        """What `fields` wrote; None if there is none in it."""
        traceparent = fields.get("traceparent")
        if traceparent is None:
            return None
        return cls(traceparent, fields.get("tracestate"))

    @property
    def fields(self) -> dict[str, str]:
        """It as two fields, or one without a ``tracestate``."""
        state = {"tracestate": self.tracestate} if self.tracestate else {}
        return {"traceparent": self.traceparent, **state}

    @property
    def trace_id(self) -> str:
        """The id of the trace: 32 hexadecimal digits."""
        return self.traceparent.split("-")[1]


def trace_fields(trace: TraceContext | None) -> dict[str, str]:
    """What log lines and signals say of it: its ``trace_id``, if there is one."""
    return {"trace_id": trace.trace_id} if trace else {}
