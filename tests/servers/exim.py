"""A private Exim, which logs the recipients of accepted mail and keeps it.

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
from collections.abc import Iterable
from pathlib import Path

from .ports import free_port
from .program import ServerProgram

FOLDER = Path(
    os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "flask-outbox", "exim"
)
_PROGRAM = Path(os.environ.get("OUTBOX_TEST_EXIM", FOLDER / "usr" / "sbin" / "exim4"))
_USER = "Debian-exim"
"""The user that the binary requires."""

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


class Exim(ServerProgram):
    """The server."""

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()
        self._configuration = self.folder / "exim.conf"
        self._configuration.write_text(
            _CONFIGURATION.format(
                program=_PROGRAM, folder=self.folder, host=self.host, port=self.port
            )
        )
        shutil.chown(self.folder, _USER)

    @property
    def command(self) -> Iterable[str | Path]:
        """The command that runs it in the foreground."""
        return _PROGRAM, "-C", self._configuration, "-bdf"

    @property
    def ports(self) -> Iterable[int]:
        """The ports that it listens on."""
        return (self.port,)

    @property
    def taken(self) -> list[str]:
        """The recipients of accepted mail, in order."""
        return [one for to in _TAKEN.findall(self.log) for one in to.split()]

    @property
    def log(self) -> str:
        """The text of its log."""
        path = self.folder / "mainlog"
        return path.read_text() if path.exists() else "(no log)"
