"""Tallies: what is counted, and what the counts say of it."""

from __future__ import annotations

from math import inf

import pytest

from flask_outbox.counters import (
    BUCKETS,
    TROUBLES,
    Counters,
    Histogram,
    normalized_reply,
)
from flask_outbox.events import EventKind


def histogram(*seconds: float) -> Histogram:
    made = Histogram()
    for one in seconds:
        made.add(one)
    return made


def test_without_values_there_is_no_percentile() -> None:
    assert Histogram().percentile(50) is None


@pytest.mark.parametrize(
    ("percent", "seconds"), [(50, 0.1), (90, 0.1), (95, 5.0), (99, 5.0), (100, 5.0)]
)
def test_a_percentile_is_the_upper_bound_of_its_bucket(
    percent: float, seconds: float
) -> None:
    assert histogram(*[0.07] * 90, *[4.0] * 10).percentile(percent) == seconds


def test_a_bound_is_in_its_own_bucket() -> None:
    for bound in BUCKETS[:-1]:
        assert histogram(bound).percentile(50) == bound


def test_a_value_above_the_last_bound_is_infinite() -> None:
    assert histogram(10_000).percentile(50) == inf
    assert histogram(-1).percentile(50) == BUCKETS[0]


def test_two_histograms_are_added() -> None:
    one = histogram(0.2)
    one += histogram(0.3, 20)

    assert one.counts() == histogram(0.2, 0.3, 20).counts()


def test_a_histogram_stored_with_fewer_buckets_is_read() -> None:
    assert Histogram([1, 2]).counts() == [1, 2, *[0] * (len(BUCKETS) - 2)]


def test_two_counters_are_added() -> None:
    one, other = Counters(), Counters()
    one.ended[EventKind.SENT] = 2
    other.ended.update([EventKind.SENT, EventKind.FAILED])
    one.count_trouble("450 busy", "01A")
    other.count_trouble("450 busy", "01C")
    other.count_trouble("450 busy", "01B")
    other.count_trouble("550 no", "01D")
    one += other

    assert one.ended == {"sent": 3, "failed": 1}
    (words, busy), (_, no) = one.commonest(2)
    assert (words, busy.count, busy.message_id) == ("450 busy", 3, "01C")
    assert (no.count, no.message_id) == (1, "01D")
    assert len(one.commonest(1)) == 1


def test_the_number_of_troubles_is_limited() -> None:
    counters = Counters()
    for number in range(TROUBLES + 5):
        counters.count_trouble(f"trouble {number}", "01A")
    counters.count_trouble("trouble 0", "01B")

    assert len(counters.troubles) == TROUBLES
    assert counters.troubles["trouble 0"].count == 2


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (
            "550 5.1.1 <ada@example.org>: Recipient address rejected",
            "550 5.1.1 <…>: Recipient address rejected",
        ),
        ("452 4.2.2 try later 9F3A2B1C4D", "452 4.2.2 try later …"),
        ("421 4.7.0 busy k21-20020a1709", "421 4.7.0 busy k21-…"),
        ("connection to 192.0.2.1 timed out", "connection to 192.0.2.1 timed out"),
        ("x " * 500, ("x " * 500)[:200]),
    ],
)
def test_equal_troubles_have_equal_texts(reply: str, words: str) -> None:
    assert normalized_reply(reply) == words
