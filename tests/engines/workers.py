"""Celery's own programs, as real processes: workers and beat."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.processes.running import Running
from tests.waiting import WAIT_SECONDS, eventually

READY_SECONDS = WAIT_SECONDS
"""How long a worker may take to start."""

APP = "tests.engines.app"


class Celery(Running):
    """``celery -A tests.engines.app``; a context manager that kills it.

    Celery warns about itself, so warnings are not errors here.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        *words: str,
        under: Sequence[str] = (),
    ) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "shop.json").write_text(json.dumps(config))
        program = ("-W", "default", "-m", "celery", "-A", APP)
        super().__init__(folder, *program, *words, under=under)

    def wait_for(self, words: str) -> None:
        """Return once its log contains this."""
        eventually(lambda: words in self.stderr or self._alive(), READY_SECONDS)

    def stop(self) -> None:
        """Shut it down warmly, and return once it has ended."""
        self.signal(signal.SIGTERM)
        self.end()

    def _alive(self) -> bool:
        assert self.process.poll() is None, self.stderr
        return False


class Worker(Celery):
    """A worker with the pool of that name and two slots, ready to take tasks."""

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        pool: str,
        *words: str,
        under: Sequence[str] = (),
    ) -> None:
        quiet = ("--without-gossip", "--without-mingle", "-l", "INFO")
        own = ("worker", "-P", pool, "-c", "2", *quiet)
        super().__init__(folder, config, *own, *words, under=under)
        self.wait_for("ready.")

    @property
    def children(self) -> list[int]:
        """The process ids of its pool."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]


def kill(pid: int) -> None:
    """Kill a process, as the system does when memory runs out."""
    os.kill(pid, signal.SIGKILL)
