"""Malformed tasks: whoever writes to the broker can ask for nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from flask_outbox.outbox import new_id

celery = pytest.importorskip("flask_outbox.engines.celery")

MALFORMED: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}),
    ((None,), {}),
    (("ids",), {}),
    (({"id": 1},), {}),
    (([1],), {}),
    (([[]],), {}),
    ((["x"],), {}),
    (([new_id() + "\n"],), {}),
    (([new_id()], "more"), {}),
    (([new_id()],), {"more": 1}),
    (([new_id()] * 10_001,), {}),
]
NOBODY = SimpleNamespace(app=None)
"""A task of no app: what is refused asks for none."""


@pytest.mark.parametrize(
    ("given", "named"), MALFORMED, ids=map(str, range(len(MALFORMED)))
)
def test_a_task_without_valid_message_ids_is_refused(
    given: tuple[Any, ...], named: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    celery._deliver(NOBODY, *given, **named)
    (line,) = caplog.messages
    assert "flask_outbox.deliver" in line
    assert "Refused" in line


def test_a_sweep_refuses_arguments(caplog: pytest.LogCaptureFixture) -> None:
    celery._sweep(NOBODY, 1)
    celery._sweep(NOBODY, more=1)
    assert all("refused" in line for line in caplog.messages)
    assert len(caplog.messages) == 2


def test_repeated_ids_are_dropped() -> None:
    one, other = new_id(), new_id()
    assert celery._ids(([one, other, one],), {}) == [one, other]
