"""Three hosts with addresses of their own, in network namespaces of this machine.

::

    with Network() as network:
        command = [*network["worker-a"].under, "python3", "-m", "http.server"]
        network["worker-a"].cut_off()
        network["worker-a"].come_back()

Each host has an Ethernet interface that leads to a switch, and numbers its processes
for itself, so that no other host can tell whether one of them lives. All of it is gone
when the block ends. It takes root; without that it skips with the reason, or fails
where ``OUTBOX_TEST_REQUIRE`` names ``netns``.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import pytest

from tests.outbox.databases import is_required

HOME, WORKER_A, WORKER_B = "home", "worker-a", "worker-b"
"""The names of the hosts. `HOME` has the database, the broker and the mail server."""

ADDRESSES = {HOME: "10.77.0.1", WORKER_A: "10.77.0.2", WORKER_B: "10.77.0.3"}
"""These exist only in the namespaces."""


PREFIX = "outbox-test-"
"""What the names of our namespaces begin with; the run's process id follows."""


class Host:
    """One host of the network."""

    def __init__(self, name: str, namespace: str, switch: str) -> None:
        self.name = name
        self.address = ADDRESSES[name]
        self._namespace = namespace
        self._switch = switch

    @property
    def under(self) -> Sequence[str]:
        """The command that runs another as a process of this host.

        Killing it kills everything that it has started.
        """
        own = ["--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
        named = ["sh", "-c", 'hostname "$0" && exec "$@"', self.name]
        return ["ip", "netns", "exec", self._namespace, "unshare", *own, *named]

    def plug_in(self) -> None:
        """Connect it to the switch."""
        plug = ["type", "veth", "peer", "name", "eth0", "netns", self._namespace]
        _ip("-n", self._switch, "link", "add", self.name, *plug)
        _ip("-n", self._switch, "link", "set", self.name, "master", "bridge", "up")
        here = ["-n", self._namespace]
        _ip(*here, "address", "add", f"{self.address}/24", "dev", "eth0")
        for interface in ("lo", "eth0"):
            _ip(*here, "link", "set", interface, "up")

    def cut_off(self) -> None:
        """Disconnect it: no packet comes in or goes out."""
        _ip("-n", self._switch, "link", "set", self.name, "down")

    def come_back(self) -> None:
        """Connect it again; open connections continue if they can."""
        _ip("-n", self._switch, "link", "set", self.name, "up")


class Network:
    """The switch and the hosts around it."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._hosts: dict[str, Host] = {}

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    def __enter__(self) -> Self:
        with self._stack:
            switch = self._namespace("switch")
            _sweep()
            _ip("-n", switch, "link", "add", "bridge", "type", "bridge")
            _ip("-n", switch, "link", "set", "bridge", "up")
            for name in ADDRESSES:
                host = Host(name, self._namespace(name), switch)
                host.plug_in()
                self._hosts[name] = host
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _namespace(self, name: str) -> str:
        """A namespace for this name and process, removed when the process ends."""
        namespace = f"{PREFIX}{os.getpid()}-{name}"
        try:
            _ip("netns", "add", namespace)
        except (OSError, subprocess.CalledProcessError) as error:
            _absent(f"network namespaces cannot be made: {_said(error)}")
        self._stack.callback(_ip, "netns", "delete", namespace)
        return namespace


def _sweep() -> None:
    """Remove the namespaces of killed runs, with their processes."""
    for line in _ip("netns", "list").splitlines():
        namespace = line.split()[0]
        run = namespace.removeprefix(PREFIX).partition("-")[0]
        if namespace.startswith(PREFIX) and not Path(f"/proc/{run}").exists():
            with suppress(subprocess.CalledProcessError, ProcessLookupError):
                for pid in _ip("netns", "pids", namespace).split():
                    os.kill(int(pid), signal.SIGKILL)
                _ip("netns", "delete", namespace)


def _ip(*words: str) -> str:
    ran = subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
    return ran.stdout


def _said(error: Exception) -> str:
    said = getattr(error, "stderr", None)
    return said.strip() if said else str(error)


def _absent(reason: str) -> None:
    if is_required("netns"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
