"""Message ids."""

from __future__ import annotations

from flask_outbox.outbox import new_id
from flask_outbox.outbox.ids import new_id_at, order_of


def test_ids_sort_in_the_order_in_which_they_are_made() -> None:
    ids = [new_id() for _ in range(10_000)]
    assert ids == sorted(set(ids))
    orders = [order_of(one) for one in ids]
    assert orders == sorted(set(orders))


def test_ids_for_a_time_sort_in_the_order_in_which_they_are_made() -> None:
    """By whatever clock, and within a millisecond of it, too."""
    ids = [new_id_at(1_000.0 + n / 5_000) for n in range(1_000)]
    assert ids == sorted(set(ids))
