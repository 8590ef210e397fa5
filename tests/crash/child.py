"""Child processes that tests start quickly, talk to, stop and kill.

They are forked from a server process that has imported what they need.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from tests.waiting import WAIT_SECONDS, eventually

PATIENCE_SECONDS = WAIT_SECONDS
"""How long a child may be silent before the test fails."""

Job = Callable[..., None]

_context = multiprocessing.get_context("forkserver")


class Child:
    """A process that runs a job of `tests.crash.jobs`; killed when the block ends."""

    def __init__(self, job: Job, *arguments: Any) -> None:
        _context.set_forkserver_preload(["tests.crash.jobs"])
        self.line, theirs = _context.Pipe()
        self._process = _context.Process(target=job, args=(theirs, *arguments))
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self.kill()
        code = self._process.exitcode
        self.close()
        assert error or code in (0, -signal.SIGKILL), f"a child broke: {code}"

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process.pid
        return self._process.pid

    @property
    def end(self) -> int:
        """A handle that becomes ready when the process ends."""
        return self._process.sentinel

    @property
    def killed(self) -> bool:
        """Whether SIGKILL ended it. Fails if it ended in another way."""
        code = self._process.exitcode
        assert code in (None, -signal.SIGKILL), f"a child ended by itself: {code}"
        return code is not None

    def hear(self, after_seconds: float = 0.0) -> Any:
        """The next thing that it says, not due before ``after_seconds``; fails when it
        ends or is silent.
        """
        assert self.line.poll(after_seconds + PATIENCE_SECONDS), "a child is silent"
        return self.line.recv()

    def heard(self) -> list[Any]:
        """All messages received so far."""
        words = []
        with suppress(EOFError):
            while self.line.poll():
                words.append(self.line.recv())
        return words

    def say(self, word: Any) -> None:
        """Send it a message."""
        self.line.send(word)

    def ask(self, word: Any) -> Any:
        """Send it a message and return its reply."""
        self.say(word)
        return self.hear()

    def kill(self) -> None:
        """Kill it, and return once it is gone."""
        self._process.kill()
        self._process.join()

    def close(self) -> None:
        """Kill it and release its resources."""
        self.kill()
        self._process.close()
        self.line.close()

    def wait_until_killed(self) -> None:
        """Return once it was killed, or fail."""
        self._process.join(PATIENCE_SECONDS)
        assert self.killed, "a child lives on"

    def wait_until_frozen(self) -> None:
        """Return once it is stopped (SIGSTOP), or fail."""
        eventually(lambda: _state(self.pid) == "T", PATIENCE_SECONDS)

    def thaw(self) -> None:
        """Continue it (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)


def _state(pid: int) -> str:
    """The process's state, as in proc(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
