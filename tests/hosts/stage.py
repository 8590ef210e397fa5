"""A shop that hands over, and workers on the other hosts that deliver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from flask_outbox import MessageRecord, Receipt
from tests.engines.workers import Celery, Worker
from tests.mail.site import Site
from tests.processes.running import Running
from tests.waiting import eventually

from .home import MailHost
from .network import Host, Network

PATIENCE_SECONDS = 30.0
"""How long a worker may take to begin, or to see that somebody does not answer."""

TAKE_OVER_SECONDS = 60.0
"""How soon the mail of a host that is gone must be with others."""

QUICK: dict[str, Any] = {
    "OUTBOX_CONCURRENCY": 2,
    "OUTBOX_LEASE_SECONDS": 3.0,
    "OUTBOX_POLL_SECONDS": 0.2,
    "OUTBOX_BACKOFF_BASE_SECONDS": 0.05,
    "OUTBOX_BACKOFF_CAP_SECONDS": 0.1,
    "OUTBOX_LANE_PAUSE_CAP_SECONDS": 0.5,
    "MAIL_DEFAULT_SENDER": "shop@example.com",
}
"""Settings that leave tests little to wait for."""


class Program(Running):
    """``flask`` on a host, for the shop with these settings."""

    def __init__(
        self, host: Host, folder: Path, config: Mapping[str, Any], *words: str
    ) -> None:
        settings = ", ".join(f"{name}={value!r}" for name, value in config.items())
        app = f"tests.hosts.shop:create_app({settings})"
        quiet = ("-W", "ignore::ResourceWarning")  # its end closes what it has open
        flask = ("-m", "flask", "--app", app)
        super().__init__(folder, *quiet, *flask, *words, under=host.under)

    def wait_for(self, words: str, times: int = 1) -> None:
        """Return once it has said so on standard error, so many times."""
        eventually(
            lambda: self.stderr.count(words) >= times or self._alive(), PATIENCE_SECONDS
        )

    def _alive(self) -> bool:
        assert self.process.poll() is None, self.stderr
        return False


class Stage:
    """All of it, for one test."""

    def __init__(
        self,
        network: Network,
        mail_host: MailHost,
        shop: Site,
        config: Mapping[str, Any],
        folder: Path,
        stack: ExitStack,
    ) -> None:
        self.network = network
        self.mail_host = mail_host
        self.shop = shop
        self._config = config
        self._folder = folder
        self._stack = stack

    def start_worker(
        self, name: str, processes: int = 1, **config: Any
    ) -> Program | Celery:
        """A worker on the host of this name, which works when this returns."""
        if self._config["OUTBOX_ENGINE"] == "celery":
            return self._start_celery(name, "threads" if processes == 1 else "prefork")
        words = ["outbox", "worker", "--processes", str(processes)]
        worker = self.begin(name, *words, **config)
        worker.wait_for(" works (engine external).", processes)
        return worker

    def _start_celery(self, name: str, pool: str) -> Celery:
        under = self.network[name].under
        worker = Worker(self._new_folder(name), self._config, pool, under=under)
        return self._stack.enter_context(worker)

    def run(self, name: str, *words: str) -> list[str]:
        """What ``flask`` prints with these words on the host of this name."""
        return self.begin(name, *words).end().splitlines()

    def begin(self, name: str, *words: str, **config: Any) -> Program:
        """``flask`` with these words on the host of this name; it is killed at last."""
        config = {**self._config, **config}
        host, folder = self.network[name], self._new_folder(name)
        return self._stack.enter_context(Program(host, folder, config, *words))

    def _new_folder(self, name: str) -> Path:
        return self._folder / f"{name}-{len(list(self._folder.iterdir()))}"

    def courier_of(self, name: str) -> str:
        """The id of the one courier on the host of this name."""
        couriers = self.shop.status().couriers
        (courier,) = (one.id for one in couriers if one.host == name)
        return courier

    @property
    def in_hand(self) -> set[str]:
        """The Message-IDs of what any courier has in hand."""
        outbox = self.shop.outbox
        return {
            outbox.get(message_id).message_id
            for courier in self.shop.status().couriers
            for message_id in outbox.leased_to(courier.id)
        }

    def wait_until_sent(self, receipts: Sequence[Receipt]) -> None:
        """Return once all of them are, soon enough."""
        outbox = self.shop.outbox

        def all_sent() -> bool:
            return {outbox.get(one.id).state for one in receipts} == {"sent"}

        eventually(all_sent, TAKE_OVER_SECONDS)

    def records(self, receipts: Sequence[Receipt]) -> list[MessageRecord]:
        """What the outbox knows of them at this moment."""
        return [self.shop.outbox.get(one.id) for one in receipts]

    def doubled(self, receipts: Sequence[Receipt]) -> set[str]:
        """The Message-IDs of those that arrived twice; none did more or less often."""
        copies = self.mail_host.copies
        assert copies.keys() == {one.message_id for one in receipts}
        assert set(copies.values()) <= {1, 2}
        return {one for one, count in copies.items() if count == 2}
