"""The servers on the host `HOME`: PostgreSQL, Redis and a mail server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, Self

import pytest
from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import OperationalError

from tests.outbox.databases import is_required
from tests.processes.running import Running
from tests.servers.journal_smtp import Mail, read_journal
from tests.waiting import WAIT_SECONDS, eventually

from .network import Host

START_SECONDS = WAIT_SECONDS
"""How long PostgreSQL may take to start."""

DEBIANS = Path("/usr/lib/postgresql")
"""Where Debian installs PostgreSQL's programs."""


class PostgreSql:
    """A database cluster for the tests; a context manager that kills it.

    The hosts reach it by its address; the tests use its socket, which stays reachable.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._folder = Path(tempfile.mkdtemp(prefix="outbox-hosts-"))
        self._names = 0

    def __enter__(self) -> Self:
        shutil.chown(self._folder, "postgres", "postgres")
        self._run("initdb", "--auth=trust", "--no-sync", "--encoding=UTF8")
        with (self._folder / "data" / "pg_hba.conf").open("a") as access:
            access.write("host all all 10.77.0.0/24 trust\n")
        settings = {
            "listen_addresses": self._host.address,
            "unix_socket_directories": str(self._folder),
            "fsync": "off",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        with (self._folder / "log").open("w") as log:
            self._server = subprocess.Popen(
                [*self._host.under, *self._command("postgres", *options)],
                stderr=log,
                cwd=self._folder,
            )
        eventually(self._answers, START_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        """End the server itself: as another user it does not end with its parent."""
        parent = self._server.pid
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        self._server.wait()
        shutil.rmtree(self._folder)

    @contextmanager
    def outbox(self) -> Iterator[tuple[str, str]]:
        """A new database: its URL for the hosts, and the tests' own."""
        self._names += 1
        name = f"outbox_{self._names}"
        self._execute(f"CREATE DATABASE {name}")
        yield self._url(name, self._host.address), self._url(name, str(self._folder))
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _url(self, name: str, host: str) -> str:
        return f"postgresql+psycopg://postgres@/{name}?host={host}"

    def _execute(self, statement: str) -> None:
        engine = create_engine(
            self._url("postgres", str(self._folder)),
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
        )
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)

    def _answers(self) -> bool:
        assert self._server.poll() is None, (self._folder / "log").read_text()
        with suppress(OperationalError):
            self._execute("SELECT 1")
            return True
        return False

    def _run(self, program: str, *options: str) -> None:
        command = self._command(program, *options)
        subprocess.run(command, check=True, capture_output=True, cwd=self._folder)

    def _command(self, program: str, *options: str) -> Sequence[str]:
        """PostgreSQL refuses to be run by root."""
        become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        return [*become, _path_of(program), "-D", f"{self._folder}/data", *options]


def _path_of(program: str) -> str:
    found = shutil.which(program) or next(
        map(str, sorted(DEBIANS.glob(f"*/bin/{program}"))), None
    )
    if found is None:
        _absent("postgresql", f"postgresql cannot be used: no {program} is installed")
    return found


def _absent(name: str, reason: str) -> NoReturn:
    if is_required(name):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


class Redis:
    """A broker for the tests; a context manager that kills it.

    ``hosts_url`` is for the hosts and ``own_url``, a socket, for the tests.
    """

    def __init__(self, host: Host, folder: Path) -> None:
        if not shutil.which("redis-server"):
            _absent("redis", "redis cannot be used: it is not installed")
        self._socket = str(folder / "redis.sock")
        self._command = [
            *host.under,
            *("redis-server", "--bind", host.address, "--unixsocket", self._socket),
            *("--protected-mode", "no", "--save", "", "--logfile", str(folder / "log")),
        ]
        self.hosts_url = f"redis://{host.address}:6379/0"
        self.own_url = f"redis+socket://{self._socket}"

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(self._command)
        eventually(self._answers, START_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.kill()
        self._server.wait()

    def _answers(self) -> bool:
        assert self._server.poll() is None
        with socket.socket(socket.AF_UNIX) as link, suppress(OSError):
            link.connect(self._socket)
            return True
        return False


class MailHost(Running):
    """`JournalSmtp` on a host, which tests leave running."""

    def __init__(self, host: Host, folder: Path) -> None:
        self._journal = folder / "journal"
        super().__init__(
            folder,
            *("-c", "from tests.servers.journal_smtp import main; main()"),
            *("--host", host.address, "--journal", str(self._journal)),
            under=host.under,
            stdin=subprocess.PIPE,
        )
        self.url = f"smtp://{self.line().split()[-1]}"

    def __exit__(self, *exc_info: object) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        super().__exit__(*exc_info)

    def behave(self, **behaviour: Any) -> None:
        """Set how the server behaves from now on."""
        assert self._ask(behaviour).startswith("obeyed")

    @property
    def held(self) -> int:
        """How many mails it holds while it hangs."""
        return int(self._ask("held").removeprefix("held "))

    def _ask(self, order: Any) -> str:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.line()

    @property
    def mails(self) -> list[Mail]:
        """All mails in its journal."""
        return read_journal(self._journal)

    @property
    def copies(self) -> Counter[str]:
        """How often each message has arrived, by its Message-ID."""
        return Counter(mail.rfc_message_id for mail in self.mails)
