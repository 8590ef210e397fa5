"""Tallies: what is counted, and what the counts say of it."""

from __future__ import annotations

from math import inf

import pytest

from flask_outbox.tally import BUCKETS, TROUBLES, Histogram, Tally, common_words


def histogram(*seconds: float) -> Histogram:
    made = Histogram()
    for one in seconds:
        made.add(one)
    return made


def test_without_any_there_is_no_percentile() -> None:
    assert Histogram().percentile(50) is None


@pytest.mark.parametrize(
    ("percent", "seconds"), [(50, 0.1), (90, 0.1), (95, 5.0), (99, 5.0), (100, 5.0)]
)
def test_a_percentile_is_the_bound_of_its_bucket(
    percent: float, seconds: float
) -> None:
    assert histogram(*[0.07] * 90, *[4.0] * 10).percentile(percent) == seconds


def test_a_bound_is_in_its_own_bucket() -> None:
    for bound in BUCKETS[:-1]:
        assert histogram(bound).percentile(50) == bound


def test_what_is_off_the_scale_is_said_to_be() -> None:
    assert histogram(10_000).percentile(50) == inf
    assert histogram(-1).percentile(50) == BUCKETS[0]


def test_two_are_added_up() -> None:
    one = histogram(0.2)
    one += histogram(0.3, 20)

    assert one.counts() == histogram(0.2, 0.3, 20).counts()


def test_what_was_kept_with_fewer_buckets_is_still_read() -> None:
    assert Histogram([1, 2]).counts() == [1, 2, *[0] * (len(BUCKETS) - 2)]


def test_tallies_are_added_up() -> None:
    one, other = Tally(), Tally()
    one.ended["sent"] = 2
    other.ended.update(sent=1, failed=1)
    one.meet("450 busy", "01A")
    other.meet("450 busy", "01C")
    other.meet("450 busy", "01B")
    other.meet("550 no", "01D")
    one += other

    assert one.ended == {"sent": 3, "failed": 1}
    (words, busy), (_, no) = one.commonest(2)
    assert (words, busy.count, busy.message_id) == ("450 busy", 3, "01C")
    assert (no.count, no.message_id) == (1, "01D")
    assert len(one.commonest(1)) == 1


def test_troubles_without_end_take_no_memory_without_end() -> None:
    tally = Tally()
    for number in range(TROUBLES + 5):
        tally.meet(f"trouble {number}", "01A")
    tally.meet("trouble 0", "01B")

    assert len(tally.troubles) == TROUBLES
    assert tally.troubles["trouble 0"].count == 2


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
def test_what_is_only_one_messages_is_left_out(reply: str, words: str) -> None:
    assert common_words(reply) == words
