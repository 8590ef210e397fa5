"""strace: a process's system calls, and injected errors."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import pytest

from tests.outbox.databases import is_required

WRITES = ("write", "pwrite64", "writev", "pwritev")
SYNCS = ("fsync", "fdatasync")

_CALL = re.compile(r"^\d+ +(\w+)\((.*)$")


class Call(NamedTuple):
    """One call: its name, and the rest of its line."""

    name: str
    rest: str


class Strace:
    """Watches a process's calls on ``paths`` from now on, until it ends.

    ``inject`` has some fail: ``"pwrite64:error=EIO:when=3"``, see strace(1).
    """

    def __init__(
        self,
        pid: int,
        log: Path,
        calls: Sequence[str],
        paths: Sequence[str] = (),
        inject: str = "",
    ) -> None:
        self._log = log
        arguments = ["-f", "-y", "-p", str(pid), "-o", str(log)]
        arguments += ["-e", f"trace={','.join(calls)}"]
        for path in paths:
            arguments += ["-P", path]
        if inject:
            arguments += ["-e", f"inject={inject}"]
        self._process = subprocess.Popen(
            ["strace", *arguments], stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr
        said = self._process.stderr.readline()
        if "attached" not in said:
            self._process.kill()
            self._process.communicate()
            raise NotPermitted(said.strip())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()

    def calls(self) -> list[Call]:
        """All calls until the process ended."""
        self._process.wait()
        found = map(_CALL.match, self._log.read_text().splitlines())
        return [Call(line[1], line[2]) for line in found if line]


class NotPermitted(Exception):
    """strace could not attach."""


def demand(pid: int, log: Path) -> None:
    """Skip the test where strace cannot watch this process; fail where it must."""
    reason = "strace is not installed"
    if shutil.which("strace"):
        try:
            with Strace(pid, log, SYNCS):
                return
        except NotPermitted as error:
            reason = f"strace may not attach: {error}"
    if is_required("strace"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
