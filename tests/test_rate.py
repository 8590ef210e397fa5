"""Limits in a time: what they mean, and that no window ever holds more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_outbox.limits import SLOTS, Allowance, Limit, parse_limits

NOW = 1_900_000_000.0


def _steps(longest: float) -> st.SearchStrategy[list[tuple[float, int]]]:
    """Waits and options, one after another."""
    waits = st.one_of(st.just(0.0), st.floats(0.0, longest), st.floats(0.0, 0.1))
    return st.lists(st.tuples(waits, st.integers(0, 30)), max_size=60)


def _most_in_a_window(taken: list[tuple[float, int]], seconds: float) -> int:
    """The most that was taken in any window of that length that ends with a taking."""
    return max(
        (
            sum(count for at, count in taken if end - seconds < at <= end)
            for end, _ in taken
        ),
        default=0,
    )


@given(_steps(3.0), st.integers(1, 40))
def test_no_window_has_more_than_allowed(steps: list[tuple[float, int]], count: int):
    limits = (Limit(count, 1), Limit(count * 3, 60))
    now, kept, taken = NOW, None, []
    for wait, wanted in steps:
        now += wait
        allowance = Allowance(limits, kept)
        granted = allowance.take(wanted, now)
        assert 0 <= granted <= wanted
        taken.append((now, granted))
        kept = allowance.dump()
    for limit in limits:
        assert _most_in_a_window(taken, limit.seconds) <= limit.count


@given(_steps(1.0), st.integers(1, 40))
def test_the_next_message_is_allowed_at_the_stated_time_and_not_before(
    steps: list[tuple[float, int]], count: int
):
    allowance, now = Allowance([Limit(count, 1)], None), NOW
    for wait, wanted in steps:
        now += wait
        allowance.take(wanted, now)
        next_at = allowance.next_at(now)
        if next_at > now:
            assert Allowance([Limit(count, 1)], allowance.dump()).left(1, now) == 0
            before = Allowance([Limit(count, 1)], allowance.dump())
            assert before.left(1, next_at - 0.001) == 0
            assert allowance.left(1, next_at + 0.001) == 1
            now = next_at + 0.001
        else:
            assert allowance.left(1, now) == 1


def test_all_of_it_may_go_at_once_and_again_after_the_window():
    allowance = Allowance([Limit(10, 60)], None)
    assert allowance.take(25, NOW) == 10
    assert allowance.take(1, NOW + 59.9) == 0
    assert allowance.take(25, NOW + 60 + 60 / SLOTS) == 10


def test_the_tightest_limit_counts():
    limits = parse_limits("10/s, 15/min")
    allowance = Allowance(limits, None)
    assert allowance.take(20, NOW) == 10
    assert allowance.take(20, NOW + 2) == 5
    assert allowance.next_at(NOW + 2) == pytest.approx(NOW + 60, abs=1)


def test_the_stored_state_stays_small():
    allowance, now = Allowance(parse_limits("1000/s, 999999/h"), None), NOW
    for _ in range(2_000):
        now += 0.7
        allowance.take(1_000, now)
    assert len(allowance.dump()) < 5_000


def test_a_clock_set_back_blocks_for_one_window_at_most():
    allowance = Allowance([Limit(10, 60)], None)
    allowance.take(10, NOW + 86_400)
    assert allowance.left(1, NOW) == 0
    assert allowance.left(10, NOW + 61) == 10


def test_a_limit_unknown_to_another_process_is_kept():
    """While an app is deployed, its processes may have different settings."""
    old = Allowance([Limit(10, 60)], None)
    old.take(10, NOW)
    new = Allowance([Limit(5, 1)], old.dump())
    new.take(5, NOW)
    assert Allowance([Limit(10, 60)], new.dump()).left(1, NOW) == 0


def test_limits_are_shown_as_they_are_written():
    limits = parse_limits("10/second, 20/min, 300 / H,4000/day")
    assert [str(one) for one in limits] == ["10/s", "20/min", "300/h", "4000/d"]
