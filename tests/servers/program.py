"""A mail server that is a separate program, started for one test."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from tests.waiting import WAIT_SECONDS

LOOK_SECONDS = 0.02


class ServerProgram(ABC):
    """The server; a context manager. Nothing of it is left afterwards.

    A subclass writes its configuration into ``folder``, a new one below ``/tmp``, when
    it is made.
    """

    host = "127.0.0.1"

    def __init__(self) -> None:
        name = type(self).__name__.lower()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir="/tmp"))

    @property
    @abstractmethod
    def command(self) -> Iterable[str | Path]:
        """The command that runs it in the foreground."""

    @property
    @abstractmethod
    def ports(self) -> Iterable[int]:
        """The ports that it listens on."""

    @property
    def log(self) -> str:
        """The text of its own log."""
        return ""

    def __enter__(self) -> Self:
        with (self.folder / "said").open("wb") as said:
            self.process = subprocess.Popen(
                [*self.command],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_it_listens()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.end()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def end(self) -> None:
        """End the program, and return once it has."""
        self.process.kill()
        self.process.wait(WAIT_SECONDS)

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not all(map(self._listens, self.ports)):
            if self.process.poll() is not None or time.monotonic() > deadline:
                said = (self.folder / "said").read_text()
                name = type(self).__name__
                raise AssertionError(f"{name} did not start: {said}\n{self.log}")
            time.sleep(LOOK_SECONDS)

    def _listens(self, port: int) -> bool:
        try:
            socket.create_connection((self.host, port)).close()
        except ConnectionRefusedError:
            return False
        return True
