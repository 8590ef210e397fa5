"""Disks that fail: ``send()`` syncs before it returns, and never succeeds in vain."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from flask_outbox.outbox import Database, Outbox
from tests.crash import strace
from tests.crash.child import Child
from tests.crash.jobs import CALLED, RETURNED, send_once
from tests.crash.strace import SYNCS, WRITES, Call, Strace
from tests.crash.wholeness import whole_messages

MARKS = ("access", "faccessat", "faccessat2")
"""Calls that leave a mark in the trace, whatever the C library makes of them."""


@dataclass(frozen=True)
class Sent:
    """What came of a ``send()``, and what it asked of the kernel meanwhile."""

    outcome: str
    words: str
    calls: list[Call]
    url: str

    def kept(self) -> set[str]:
        """The Message-IDs that are there once the outbox is opened again, all whole."""
        database = Database(self.url)
        found = set(whole_messages(Outbox(database)))
        database.close()
        return found


class Disk:
    """Empty SQLite outboxes, each for one ``send()`` by a process that is watched."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._template = folder / "template.db"
        self._tries = count()
        Database(f"sqlite:///{self._template}").upgrade()

    def send(self, inject: str = "", durability: str = "full") -> Sent:
        """Have one mail sent while the calls on the outbox's files fail as said."""
        folder = self._folder / f"try-{next(self._tries)}"
        folder.mkdir()
        file = folder / "outbox.db"
        shutil.copy(self._template, file)
        url = f"sqlite:///{file}"
        config = {**KEEPS, "OUTBOX_URL": url, "OUTBOX_DURABILITY": durability}
        files = [str(file), *(f"{file}-{end}" for end in ("wal", "shm", "journal"))]
        paths = [*files, str(folder), CALLED, RETURNED]
        calls = (*WRITES, *SYNCS, *MARKS)
        with (
            Child(send_once, config) as child,
            Strace(child.pid, folder / "trace", calls, paths, inject) as trace,
        ):
            outcome, words = child.ask("go")
            return Sent(outcome, words, _within_send(trace.calls()), url)


KEEPS = {"MAIL_URL": "inbox://", "OUTBOX_ENGINE": "external"}


def _within_send(calls: list[Call]) -> list[Call]:
    """The calls between the two marks."""
    called, returned = (i for i, call in enumerate(calls) if call.name in MARKS)
    return calls[called + 1 : returned]


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    with Child(send_once, KEEPS) as child:
        strace.demand(child.pid, tmp_path / "trace")
    return Disk(tmp_path)


def test_writes_are_synced_before_send_returns(disk: Disk):
    sent = disk.send()
    assert sent.kept() == {sent.words}
    *_, last = sent.calls
    assert last.name in SYNCS
    assert "outbox.db-wal" in last.rest
    print(f"{sum(call.name in SYNCS for call in sent.calls)} syncs")


def test_with_durability_process_send_does_not_sync(
    disk: Disk,
):
    sent = disk.send(durability="process")
    assert sent.kept() == {sent.words}
    *_, last = sent.calls
    assert last.name in WRITES


@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EIO from then on"])
def test_a_disk_error_is_never_reported_as_success(disk: Disk, error: str):
    """Each write and each sync of a ``send()`` fails once, or with all that follow."""
    failures = 0
    code, _, from_then_on = error.partition(" ")
    for name, times in _asked(disk).items():
        for when in range(1, times + 1):
            more = "+" if from_then_on else ""
            sent = disk.send(f"{name}:error={code}:when={when}{more}")
            assert any("(INJECTED)" in call.rest for call in sent.calls)
            assert sent.kept() == ({sent.words} if sent.outcome == "sent" else set())
            if sent.outcome != "sent":
                failures += 1
                assert sent.outcome == "OutboxUnavailable"
                assert "Nothing was stored." in sent.words
    print(f"{failures} sends failed")
    assert failures


def _asked(disk: Disk) -> dict[str, int]:
    """Which writes and syncs a ``send()`` takes, and how many."""
    names = [call.name for call in disk.send().calls]
    return {name: names.count(name) for name in (*WRITES, *SYNCS)}
