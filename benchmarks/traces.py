"""What do metrics and traces cost `mail.send()`?

The same hand-over without them and with both, mail by mail in turns. See README.md.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from _figures import Figures, Goal, Ratio, in_turns
from _machine import show_machine
from _results import Chart, add_json_option, report_results
from _sink import Sink
from _ways import Failed, Outbox
from opentelemetry import trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    use_span,
)

from flask_outbox import Message

ROUNDS, QUICK_ROUNDS = 40, 5
WARM_UP_MAILS = 25
TURNS = 25
"""How many mails each way sends in a round."""
PACE_SECONDS = 0.02
GOAL = 1.03
LIKE_OURS = {f"messaging.attribute.{number}": "value" for number in range(5)}
"""As many attributes as a span of ours has."""
PACKAGES = (
    "Flask",
    "SQLAlchemy",
    "opentelemetry-sdk",
    "opentelemetry-instrumentation-flask",
)
BESIDE_THE_CLONE = Path(__file__).resolve().parents[2]


class Nowhere(SpanExporter):
    """Takes spans, and drops them: that they leave is not our cost."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


BOTH = {"OUTBOX_TRACES": True, "OUTBOX_METRICS": "local"}


class Off(Outbox):
    """Without metrics and traces."""

    name = "mail.send()"


class SdkAlone(Outbox):
    """Without both, in a span that the app makes itself: what the SDK alone costs."""

    name = "mail.send() in a span of the app's own"

    def hand_over(self, mail: Message) -> None:
        with trace.get_tracer("app").start_as_current_span(
            "send", kind=SpanKind.PRODUCER, attributes=LIKE_OURS
        ):
            super().hand_over(mail)


class On(Outbox):
    """With both."""

    name = "mail.send(), metrics and traces"

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder, port, **BOTH)

    def settle(self) -> None:
        """Be scraped, too."""
        super().settle()
        if self._client.get("/outbox/metrics").status_code != 200:
            raise Failed("The metrics cannot be read.")


class Unsampled(On):
    """With both, in requests whose trace is not recorded."""

    name = "mail.send(), metrics and traces, not sampled"

    def _request(self, mails: int) -> None:
        context = SpanContext(1, 1, is_remote=True, trace_flags=TraceFlags.DEFAULT)
        with use_span(NonRecordingSpan(context)):
            super()._request(mails)


class OffInTracedRequests(Off):
    """Without both, in an app whose requests Flask's instrumentation traces."""

    name = "mail.send() in traced requests"

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder, port)
        FlaskInstrumentor().instrument_app(self.app)


class OnInTracedRequests(On):
    """With both, in such an app."""

    name = "mail.send(), metrics and traces, in traced requests"

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder, port)
        FlaskInstrumentor().instrument_app(self.app)


WAYS = (Off, SdkAlone, On, Unsampled, OffInTracedRequests, OnInTracedRequests)
TO_WITHOUT = (
    (OnInTracedRequests, OffInTracedRequests),
    (On, Off),
    (Unsampled, Off),
)
"""What is compared with what."""


def main() -> int:
    """Measure and print; returns 1 if something failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a first look")
    parser.add_argument("--rounds", type=int, metavar="N")
    add_json_option(parser)
    parser.add_argument("--dir", type=Path, default=BESIDE_THE_CLONE)
    options = parser.parse_args()
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    logging.getLogger("flask_outbox").setLevel(logging.CRITICAL)
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    trace.set_tracer_provider(provider)
    with tempfile.TemporaryDirectory(prefix="traces-", dir=options.dir) as name:
        surroundings = show_machine(Path(name), PACKAGES)
        try:
            measured = compare(Path(name), rounds)
        except Failed as failure:
            print(f"\nFailed: {failure}", file=sys.stderr)
            return 1
    off = measured[Off.name]
    print(f"\n{off.samples} mails each way")
    for name, one in measured.items():
        print(f"{name:53}{one.p50 * 1e6:6.0f} µs{one.beside(off)}")
    report_results(
        options.json,
        surroundings,
        [chart(measured)],
        [
            Goal(f"{one.name}, to {other.name}", GOAL, beside(measured, one, other))
            for one, other in TO_WITHOUT
        ],
        ways={name: asdict(one) for name, one in measured.items()},
    )
    return 0


def beside(
    measured: Mapping[str, Figures], one: type[Outbox], other: type[Outbox]
) -> Ratio:
    """How long a mail takes by ``one``, as a share of that by ``other``."""
    return measured[one.name].beside(measured[other.name])


def compare(folder: Path, rounds: int) -> Mapping[str, Figures]:
    """The figures of each way, by its name."""
    with Sink() as sink, ExitStack() as stack:
        ways = [kind(folder, sink.port) for kind in WAYS]
        for way in ways:
            stack.callback(way.close)
            way.stretch(WARM_UP_MAILS, 0.0)
            way.settle()
        samples: dict[str, list[list[float]]] = {way.name: [] for way in ways}
        for _ in range(rounds):
            taken = _round(ways)
            for way in ways:
                samples[way.name].append(taken[way.name])
                way.settle()
    return {name: Figures.of(taken) for name, taken in samples.items()}


def _round(ways: Sequence[Outbox]) -> dict[str, list[float]]:
    """Let each way send one mail after the other, never two in a row."""
    taken: dict[str, list[float]] = {way.name: [] for way in ways}
    for turn in range(TURNS):
        for way in in_turns(ways, turn):
            taken[way.name] += way.stretch(1, PACE_SECONDS)
    return taken


def chart(measured: Mapping[str, Figures]) -> Chart:
    """The waits."""
    waits = {name: one.p50 * 1e6 for name, one in measured.items()}
    return Chart("A view waits, with and without traces", "µs, median", waits, ())


if __name__ == "__main__":
    sys.exit(main())
