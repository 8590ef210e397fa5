"""An Exim of the tests' own, which writes down whom it took mail for and keeps it.

Debian's conflicts with Postfix, so it is not installed but unpacked into `FOLDER`; the
environment's ``OUTBOX_TEST_EXIM`` may name another binary. To have it there, as root::

    apt-get install libidn12
    apt-get download exim4-daemon-light
    dpkg-deb -x exim4-daemon-light_*.deb ~/.cache/flask-outbox/exim
    useradd --system --user-group Debian-exim
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from .ports import free_port

WAIT_SECONDS = 30.0
"""How long it may take to start and to end."""

FOLDER = Path(
    os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "flask-outbox", "exim"
)
_PROGRAM = Path(os.environ.get("OUTBOX_TEST_EXIM", FOLDER / "usr" / "sbin" / "exim4"))
_USER = "Debian-exim"
"""Whom the binary wants to be, without which it does not start."""

_CONFIGURATION = """\
exim_path = {program}
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
pid_file_path = {folder}/pid
log_selector = +received_recipients
primary_hostname = exim.test
local_interfaces = <; [{host}]:{port}
keep_environment =
host_lookup =
rfc1413_query_timeout = 0s
tls_advertise_hosts =
queue_only = true
acl_smtp_rcpt = take
acl_smtp_data = take

begin acl

take:
  accept

begin routers

all:
  driver = redirect
  data = :blackhole:
"""

_TAKEN = re.compile(r"^\S+ \S+ \S+ <= .* for (.+)$", re.MULTILINE)


def why_absent() -> str | None:
    """Why no Exim can be started here, or None if one can."""
    if os.geteuid() != 0:
        return "Exim needs root to start"
    if not _PROGRAM.exists():
        return f"Exim is not unpacked in {FOLDER}"
    try:
        pwd.getpwnam(_USER)
    except KeyError:
        return f"there is no user {_USER}, without whom Exim does not start"
    return None


class Exim:
    """The server; a context manager. Nothing of it is left afterwards."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="exim-", dir="/tmp"))
        self.port = free_port()
        self._configuration = self.folder / "exim.conf"
        self._configuration.write_text(
            _CONFIGURATION.format(
                program=_PROGRAM, folder=self.folder, host=self.host, port=self.port
            )
        )
        shutil.chown(self.folder, _USER)

    @property
    def taken(self) -> list[str]:
        """For whom it took mail, in the order in which it did."""
        return [one for to in _TAKEN.findall(self.log) for one in to.split()]

    @property
    def log(self) -> str:
        """All that it wrote into its log."""
        path = self.folder / "mainlog"
        return path.read_text() if path.exists() else "(no log)"

    def __enter__(self) -> Self:
        with (self.folder / "said").open("wb") as said:
            self._process = subprocess.Popen(
                [_PROGRAM, "-C", self._configuration, "-bdf"],
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
        self._process.kill()
        self._process.wait(WAIT_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self.folder / "said").read_text()
                raise AssertionError(f"Exim did not start: {said}\n{self.log}")
            time.sleep(0.02)

    def _listens(self) -> bool:
        try:
            socket.create_connection((self.host, self.port)).close()
        except ConnectionRefusedError:
            return False
        return True
