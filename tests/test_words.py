"""Durations as people read them."""

from __future__ import annotations

import pytest

from flask_outbox.humanize import counted, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 ms"),
        (0.00324, "3.2 ms"),
        (12.34, "12.3 s"),
        (59.99, "1 min 0 s"),
        (252.4, "4 min 12 s"),
        (2 * 3_600 + 185, "2 h 3 min"),
        (3 * 86_400 + 4 * 3_600 + 99, "3 d 4 h"),
        (-0.0032, "-3.2 ms"),
        (-252.4, "-4 min 12 s"),
    ],
)
def test_durations_are_written_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_amounts_are_written_for_people() -> None:
    assert counted(1, "message") == "1 message"
    assert counted(1_234, "message") == "1,234 messages"
