"""The notifier: it tells all, in batches, and holds nobody up, whatever befalls it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence

import pytest

from flask_outbox import signals
from flask_outbox.courier import notifier
from flask_outbox.courier.notifier import BATCH, HINTS, BatchingNotifier
from tests.waiting import WAIT_SECONDS, eventually

APP = object()


class Way:
    """Where a notifier publishes to: it can be closed, and it can be broken."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.tries = 0
        self.broken = False
        self.open = threading.Event()
        self.open.set()
        self.taken = threading.Event()

    def publish(self, ids: Sequence[str]) -> None:
        self.tries += 1
        self.taken.set()
        assert self.open.wait(WAIT_SECONDS)
        if self.broken:
            raise ConnectionError("nobody answers")
        self.batches.append(list(ids))

    @property
    def told(self) -> list[str]:
        """All ids, as they came."""
        return [one for batch in self.batches for one in batch]


@pytest.fixture
def way() -> Way:
    return Way()


@pytest.fixture
def one(way: Way) -> Iterator[BatchingNotifier]:
    """A notifier on that way."""
    notifier = BatchingNotifier(way.publish, APP)
    yield notifier
    way.open.set()
    notifier.stop()


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """What was said of trouble."""
    heard: list[str] = []

    def stalled(_app: object, error: Exception) -> None:
        heard.append(f"stalled: {error}")

    def resumed(_app: object, **_: object) -> None:
        heard.append("resumed")

    with (
        signals.notifier_stalled.connected_to(stalled, APP),
        signals.notifier_resumed.connected_to(resumed, APP),
    ):
        yield heard


def numbers(count: int, start: int = 0) -> list[str]:
    return [str(number) for number in range(start, start + count)]


def test_messages_that_come_meanwhile_are_notified_in_batches(
    one: BatchingNotifier, way: Way
):
    way.open.clear()
    one.committed(["first"])
    assert way.taken.wait(WAIT_SECONDS)
    for number in numbers(2 * BATCH + 50):
        one.committed([number])
    way.open.set()
    eventually(lambda: len(way.told) == 2 * BATCH + 51)
    assert [len(batch) for batch in way.batches] == [1, BATCH, BATCH, 50]
    assert way.told == ["first", *numbers(2 * BATCH + 50)]


def test_while_notifying_fails_the_oldest_ids_are_dropped(
    one: BatchingNotifier, way: Way
):
    """And whoever tells is not held up."""
    way.open.clear()
    one.committed(["first"])
    assert way.taken.wait(WAIT_SECONDS)
    one.committed(numbers(HINTS + 3))
    way.open.set()
    eventually(lambda: len(way.told) == HINTS + 1)
    assert way.told == ["first", *numbers(HINTS, start=3)]


def test_after_an_error_it_continues_with_all_ids(
    one: BatchingNotifier,
    way: Way,
    heard: list[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(notifier, "BACKOFF_BASE_SECONDS", 0.01)
    way.broken = True
    one.committed(["first"])
    eventually(lambda: way.tries > 3)
    one.committed(["second"])
    assert heard == ["stalled: nobody answers"]
    way.broken = False
    eventually(lambda: way.told == ["first", "second"])
    eventually(lambda: heard[1:] == ["resumed"])


def test_a_transaction_is_notified_once_it_has_committed(
    one: BatchingNotifier, way: Way
):
    over = threading.Event()
    one.committed(["in a transaction"], over.is_set)
    one.committed(["alone"])
    eventually(lambda: way.told == ["alone"])
    over.set()
    eventually(lambda: way.told == ["alone", "in a transaction"])


def test_it_sends_everything_before_it_stops_and_can_start_again(
    one: BatchingNotifier, way: Way
):
    one.committed(numbers(10))
    one.stop()
    assert way.told == numbers(10)
    one.committed(["later"])
    eventually(lambda: way.told[10:] == ["later"])


@pytest.mark.parametrize("broken", [True, False], ids=["broken", "closed"])
def test_an_error_does_not_prevent_stopping(
    one: BatchingNotifier, way: Way, monkeypatch: pytest.MonkeyPatch, broken: bool
):
    monkeypatch.setattr(notifier, "STOP_SECONDS", 0.1)
    monkeypatch.setattr(notifier, "BACKOFF_BASE_SECONDS", 600.0)
    monkeypatch.setattr(notifier, "BACKOFF_CAP_SECONDS", 600.0)
    way.broken = broken
    if not broken:
        way.open.clear()
    one.committed(["first"])
    assert way.taken.wait(WAIT_SECONDS)
    one.stop()
    assert way.told == []


FORKS = """
import os, sys
from flask_outbox.courier.notifier import BatchingNotifier

def publish(ids):
    for one in ids:
        os.write(1, f"{one}\\n".encode())

notifier = BatchingNotifier(publish, None)
notifier.committed(["parent before"])
child = os.fork()
if not child:
    notifier.after_fork_in_child()
    notifier.committed(["child"])
    notifier.stop()
    os._exit(0)
os.waitpid(child, 0)
notifier.committed(["parent after"])
notifier.stop()
"""


def test_a_forked_child_notifies_only_its_own_messages():
    done = subprocess.run(
        [sys.executable, "-c", FORKS],
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=True,
    )
    assert sorted(done.stdout.splitlines()) == [
        "child",
        "parent after",
        "parent before",
    ]


def test_many_threads_notify_at_once(one: BatchingNotifier, way: Way):
    def tell(start: int) -> None:
        for number in numbers(100, start):
            one.committed([number])

    threads = [
        threading.Thread(target=tell, args=[start]) for start in range(0, 800, 100)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: len(way.told) == 800)
    assert sorted(way.told, key=int) == numbers(800)
