"""Reads the text of the metrics with the parsers of the Prometheus client."""

from __future__ import annotations

from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def families(text: str) -> dict[str, Metric]:
    """The metrics in a text of format 0.0.4, by name."""
    return {one.name: one for one in text_string_to_metric_families(text)}


def openmetrics_families(text: str) -> dict[str, Metric]:
    """The metrics in a text of OpenMetrics, by name."""
    return {
        one.name: one for one in openmetrics_parser.text_string_to_metric_families(text)
    }


def samples(text: str) -> Samples:
    """Each sample of a text of format 0.0.4; fails if there is one twice."""
    found: Samples = {}
    for family in families(text).values():
        for one in family.samples:
            key = (one.name, frozenset(one.labels.items()))
            assert key not in found
            found[key] = one.value
    return found


def value(text: str, name: str, **labels: str) -> float:
    """One sample, without the prefix in its name."""
    return samples(text)[f"flask_outbox_{name}", frozenset(labels.items())]
