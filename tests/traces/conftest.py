"""Fixtures: the spans that this process has ended, and apps that make them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from tests.mail.conftest import make_site, server
from tests.mail.site import Site

__all__ = ["make_site", "server"]

MakeTraced = Callable[..., Site]


@cache
def exporter() -> InMemorySpanExporter:
    """What has the spans of this process, whose provider can be set only once."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


class Spans:
    """The spans that ended in this test."""

    def __init__(self) -> None:
        exporter().clear()

    @property
    def all(self) -> list[ReadableSpan]:
        """All, in the order in which they ended."""
        return list(exporter().get_finished_spans())

    @property
    def hand_overs(self) -> list[ReadableSpan]:
        """Those of hand-overs."""
        return [one for one in self.all if one.kind is SpanKind.PRODUCER]

    @property
    def attempts(self) -> list[ReadableSpan]:
        """Those of attempts, in the order in which they ended."""
        return [one for one in self.all if one.kind is SpanKind.CONSUMER]


def said(span: ReadableSpan) -> Mapping[str, object]:
    """The attributes of a span."""
    return dict(span.attributes or {})


def links(span: ReadableSpan) -> list[tuple[int, int]]:
    """The traces and spans to which a span is linked."""
    return [(one.context.trace_id, one.context.span_id) for one in span.links]


def identity(span: ReadableSpan) -> tuple[int, int]:
    """The trace and the id of a span."""
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id


@pytest.fixture
def spans() -> Iterator[Spans]:
    """The spans that end in this test."""
    yield Spans()
    exporter().clear()


@pytest.fixture
def traced(make_site: MakeTraced, spans: Spans) -> MakeTraced:
    """Makes apps with traces."""

    def make(**config: object) -> Site:
        return make_site(OUTBOX_TRACES=True, **config)

    return make
