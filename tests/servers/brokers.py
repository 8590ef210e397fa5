"""Private brokers: a Redis and a RabbitMQ that tests may kill, and a vhost.

In a test::

    with RedisBroker(tmp_path) as broker:
        ...use broker.url...
        broker.kill()
        broker.start()                                    # on the same port

    with rabbitmq_vhost("engines-1") as url:              # on the machine's RabbitMQ
        ...

Each skips where it is absent, and fails where ``OUTBOX_TEST_REQUIRE`` names it
(``redis``, ``rabbitmq``).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest

from tests.outbox.databases import is_required
from tests.waiting import WAIT_SECONDS, eventually

from .ports import free_port

START_SECONDS = WAIT_SECONDS
"""How long a broker may take to start: RabbitMQ takes eight seconds when alone."""

RABBITMQ_SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
"""Debian's script, without the wrapper that changes to the user rabbitmq."""


class Broker:
    """A process on a port of its own; a context manager that kills it."""

    url: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Return once it answers."""
        with (self.folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self.folder,
                env={**os.environ, **self._environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        eventually(self._answers, START_SECONDS)

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(START_SECONDS)
            self._process = None

    def _command(self) -> Sequence[str]:
        raise NotImplementedError

    def _environment(self) -> Mapping[str, str]:
        return {}

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "broker.log").read_text()
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5.0) as link:
                return self._greets(link)
        except OSError:
            return False

    def _greets(self, link: socket.socket) -> bool:
        raise NotImplementedError


class RedisBroker(Broker):
    """A Redis without persistence."""

    def __init__(self, folder: Path) -> None:
        _need("redis", shutil.which("redis-server"))
        super().__init__(folder)
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def _command(self) -> Sequence[str]:
        here = ["--bind", "127.0.0.1", "--port", str(self.port)]
        return ["redis-server", *here, "--save", "", "--appendonly", "no"]

    def _greets(self, link: socket.socket) -> bool:
        link.sendall(b"PING\r\n")
        return link.recv(16).startswith(b"+PONG")


class RabbitBroker(Broker):
    """A node with a name and a folder of its own; durable queues outlive a restart."""

    def __init__(self, folder: Path) -> None:
        _need("rabbitmq", Path(RABBITMQ_SERVER).exists())
        super().__init__(folder)
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self._distribution_port = free_port()
        (folder / "plugins").write_text("[].\n")

    def _command(self) -> Sequence[str]:
        return [RABBITMQ_SERVER]

    def _environment(self) -> Mapping[str, str]:
        return {
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"outbox{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "none"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
        }

    def _greets(self, link: socket.socket) -> bool:
        link.sendall(b"AMQP\x00\x00\x09\x01")
        return bool(link.recv(1))


@contextmanager
def rabbitmq_vhost(name: str) -> Iterator[str]:
    """The URL of a new vhost on the machine's RabbitMQ."""
    try:
        _rabbitmqctl("add_vhost", name)
    except (OSError, subprocess.CalledProcessError) as error:
        _absent("rabbitmq", f"rabbitmq cannot be used: {error}")
    try:
        _rabbitmqctl("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
        yield f"amqp://guest:guest@127.0.0.1:5672/{name}"
    finally:
        _rabbitmqctl("delete_vhost", name)


def _rabbitmqctl(*words: str) -> None:
    command = ["rabbitmqctl", "--quiet", *words]
    subprocess.run(command, check=True, capture_output=True, timeout=START_SECONDS)


def _need(name: str, found: object) -> None:
    if not found:
        _absent(name, f"{name} cannot be used: it is not installed")


def _absent(name: str, reason: str) -> None:
    if is_required(name):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
