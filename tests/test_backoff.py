"""Backoff, for every attempt there could be."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from flask_outbox.limits import backoff

seconds = st.floats(0.001, 1e6)
rolls = st.floats(0, 1)
attempts = st.integers(1, 10**9)


def _longest(attempt: int, base: float, cap: float) -> float:
    return backoff(attempt, base_seconds=base, cap_seconds=cap, roll=lambda: 1.0)


@given(attempts, seconds, seconds, rolls)
def test_never_below_0_nor_above_the_cap(attempt, base, cap, roll):
    wait = backoff(attempt, base_seconds=base, cap_seconds=cap, roll=lambda: roll)
    assert 0 <= wait <= cap


@given(seconds, seconds)
def test_the_first_wait_is_at_most_the_base(base, cap):
    assert _longest(1, base, cap) == min(base, cap)


@given(st.integers(1, 100), seconds, seconds)
def test_the_longest_wait_doubles_until_the_cap(attempt, base, cap):
    doubled = 2 * _longest(attempt, base, cap)
    assert _longest(attempt + 1, base, cap) == min(doubled, cap)


@given(attempts, seconds, seconds, rolls)
def test_full_jitter_is_the_roll_of_the_longest(attempt, base, cap, roll):
    wait = backoff(attempt, base_seconds=base, cap_seconds=cap, roll=lambda: roll)
    assert wait == roll * _longest(attempt, base, cap)


def test_messages_that_failed_together_are_not_retried_together():
    waits = {backoff(5, base_seconds=10, cap_seconds=3_600) for _ in range(200)}
    assert len(waits) > 190
    assert all(0 <= wait <= 160 for wait in waits)
    assert min(waits) < 40
    assert max(waits) > 120


def test_some_waits_in_numbers():
    """The defaults: 10 s, doubled up to an hour."""
    longest = [_longest(attempt, 10, 3_600) for attempt in (1, 2, 3, 9, 10, 11)]
    assert longest == [10, 20, 40, 2_560, 3_600, 3_600]


def test_the_apps_own_random_numbers_are_left_alone():
    """Those of a test that seeds them, for instance."""
    before = random.getstate()
    backoff(5, base_seconds=10, cap_seconds=3_600)
    assert random.getstate() == before
