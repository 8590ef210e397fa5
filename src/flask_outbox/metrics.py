"""The outbox's metrics as text for Prometheus: format 0.0.4, or OpenMetrics 1.0.

Labels are words of ours and names from the settings, never anything of a message or of
a recipient; and they are few: of the lanes, `LANES` at most are named.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from math import inf

from .alerts import AlertKind
from .config import Settings
from .counters import BUCKETS, Counters, Histogram
from .events import ATTEMPT_ENDS
from .outbox import SOURCES, TOTALS_WRAP, Measurements, Outbox, Waiting
from .status import WebhookStatus

PREFIX = "flask_outbox_"

LANES = 50
"""How many lanes are named at most: the first of the app's transports."""

OTHERS = "(others)"
"""The lane that stands for all others together. No transport can have this name."""

PAUSED_BY = ("person", "trouble")

NOTHING_WAITS = Waiting(0, 0, None)

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Sample:
    """One number. ``suffix`` follows the name of its family."""

    labels: Mapping[str, str]
    value: float
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with all its samples."""

    name: str
    """Without `PREFIX`, and without the ``_total`` of a counter."""
    kind: str
    """``gauge``, ``counter`` or ``histogram``."""
    help: str
    samples: Sequence[Sample]


def text_of(
    outbox: Outbox,
    settings: Settings,
    endpoints: Sequence[WebhookStatus],
    *,
    openmetrics: bool,
) -> str:
    """The metrics of ``outbox`` and of ``endpoints`` of webhooks, as text."""
    named = [*islice(settings.transports, LANES)]
    found = outbox.measure(named)
    families = [
        *_messages(found),
        *_lanes(found, named),
        *_attempts(found, named),
        *_couriers(found, settings.engine),
        *_alerts(found),
        *_recipients(found),
        *_webhooks(endpoints),
    ]
    return "".join(lines(families, openmetrics=openmetrics))


# ---------------------------------------------------------------------- what is shown


def _messages(found: Measurements) -> Iterator[Family]:
    yield Family(
        "messages",
        "gauge",
        "Messages that wait for something, by state.",
        [
            Sample({"state": state}, count)
            for state, count in found.backlog.states.items()
        ],
    )
    yield Family(
        "backlog_age_seconds",
        "gauge",
        "How long ago the messages and lane_messages were counted; 0 if just now.",
        [Sample({}, _age(found.at, found.backlog.counted_at))],
    )


def _lanes(found: Measurements, named: Sequence[str]) -> Iterator[Family]:
    waiting = _with_others(found.backlog.lanes, named)
    yield Family(
        "lane_messages",
        "gauge",
        "Pending messages by lane: due now, or scheduled for later.",
        [
            Sample({"lane": lane, "when": when}, count)
            for lane, one in waiting.items()
            for when, count in (("due", one.due), ("scheduled", one.later))
        ],
    )
    yield Family(
        "lane_oldest_due_seconds",
        "gauge",
        "How long the oldest due message of the lane has been due; 0 if none is.",
        [
            Sample({"lane": lane}, _age(found.at, one.oldest_due_at))
            for lane, one in waiting.items()
        ],
    )
    pauses = {lane: dict.fromkeys(PAUSED_BY, 0) for lane in waiting}
    for lane, by in found.paused.items():
        pauses[lane if lane in pauses else OTHERS][by] += 1
    yield Family(
        "lanes_paused",
        "gauge",
        "How many of these lanes are paused, by a person or because of trouble.",
        [
            Sample({"lane": lane, "by": by}, count)
            for lane, counts in pauses.items()
            for by, count in counts.items()
        ],
    )


def _with_others(
    found: Mapping[str, Waiting], named: Sequence[str]
) -> dict[str, Waiting]:
    waiting = {lane: found.get(lane, NOTHING_WAITS) for lane in named}
    others = [one for lane, one in found.items() if lane not in waiting]
    oldest = [one.oldest_due_at for one in others if one.oldest_due_at is not None]
    waiting[OTHERS] = Waiting(
        sum(one.due for one in others),
        sum(one.later for one in others),
        min(oldest, default=None),
    )
    return waiting


def _age(now: float, since: float | None) -> float:
    return 0.0 if since is None else max(0.0, now - since)


def _attempts(found: Measurements, named: Sequence[str]) -> Iterator[Family]:
    counted = {lane: found.attempts_by_lane[lane] for lane in named}
    counted[OTHERS] = _rest(found.attempts, counted.values())
    yield Family(
        "attempts",
        "counter",
        "Attempts that have ended, by lane and outcome.",
        [
            Sample({"lane": lane, "outcome": end}, one.ended[end], "_total")
            for lane, one in counted.items()
            for end in ATTEMPT_ENDS
        ],
    )
    yield _histogram(
        "wait_seconds",
        "How long sent messages waited, from when they were due.",
        {lane: one.waits for lane, one in counted.items()},
    )
    yield _histogram(
        "attempt_seconds",
        "How long attempts took.",
        {lane: one.durations for lane, one in counted.items()},
    )


def _rest(all_lanes: Counters, named: Collection[Counters]) -> Counters:
    rest = Counters(waits=all_lanes.waits, durations=all_lanes.durations)
    for end in ATTEMPT_ENDS:
        known = sum(one.ended[end] for one in named)
        rest.ended[end] = (all_lanes.ended[end] - known) % TOTALS_WRAP
    for one in named:
        rest.waits -= one.waits
        rest.durations -= one.durations
    return rest


def _histogram(name: str, words: str, by_lane: Mapping[str, Histogram]) -> Family:
    samples = []
    for lane, one in by_lane.items():
        labels = {"lane": lane}
        for bound, count in zip(BUCKETS, accumulate(one.counts()), strict=True):
            samples.append(Sample({**labels, "le": _number(bound)}, count, "_bucket"))
        samples.append(Sample(labels, sum(one.counts()), "_count"))
        samples.append(Sample(labels, one.seconds, "_sum"))
    return Family(name, "histogram", words, samples)


def _couriers(found: Measurements, engine: str) -> Iterator[Family]:
    alive = {engine: 0, **found.couriers}
    yield Family(
        "couriers",
        "gauge",
        "Couriers that are alive, by engine.",
        [Sample({"engine": name}, count) for name, count in alive.items()],
    )


def _alerts(found: Measurements) -> Iterator[Family]:
    yield Family(
        "alerts",
        "gauge",
        "Alerts that last, by kind.",
        [Sample({"alert": kind}, found.alerts.get(kind, 0)) for kind in AlertKind],
    )


def _recipients(found: Measurements) -> Iterator[Family]:
    yield Family(
        "suppressions",
        "gauge",
        "Suppressed addresses, by what suppressed them.",
        [
            Sample({"source": source}, found.suppressions.get(source, 0))
            for source in SOURCES
        ],
    )
    yield Family(
        "reports",
        "counter",
        "Reports received of what became of sent mail, each once, by fate.",
        [
            Sample({"fate": fate}, count, "_total")
            for fate, count in found.reports.items()
        ],
    )
    yield Family(
        "reports_waiting",
        "gauge",
        "Reports whose message is not found yet.",
        [Sample({}, found.unmatched_reports)],
    )


def _webhooks(endpoints: Sequence[WebhookStatus]) -> Iterator[Family]:
    yield Family(
        "webhooks",
        "gauge",
        "Webhooks that wait to be sent or have failed, by endpoint.",
        [
            Sample({"endpoint": one.name, "state": state}, count)
            for one in endpoints
            for state, count in (("waiting", one.waiting), ("failed", one.failed))
        ],
    )
    yield Family(
        "webhook_endpoint_paused",
        "gauge",
        "1 if nothing is sent to the endpoint at present.",
        [
            Sample({"endpoint": one.name}, int(one.paused_by is not None))
            for one in endpoints
        ],
    )


# ----------------------------------------------------------------------- how it reads


def lines(families: Iterable[Family], *, openmetrics: bool) -> Iterator[str]:
    """The lines of these families, in one of the two formats."""
    for one in families:
        name = PREFIX + one.name
        counts = one.kind == "counter" and not openmetrics
        family = f"{name}_total" if counts else name
        yield f"# HELP {family} {one.help}\n# TYPE {family} {one.kind}\n"
        for sample in one.samples:
            labels = _labels(sample.labels)
            yield f"{name}{sample.suffix}{labels} {_number(sample.value)}\n"
    if openmetrics:
        yield "# EOF\n"


def _labels(labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{inside}}}" if inside else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return "+Inf" if value == inf else str(value)
