"""A shop that sends mail, and workers on other hosts that deliver it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from flask_outbox import MessageRecord, Receipt
from tests.engines.workers import Celery, Worker
from tests.mail.site import Site
from tests.processes.running import Running
from tests.waiting import WAIT_SECONDS, eventually

from .home import MailHost
from .network import Host, Network

PATIENCE_SECONDS = WAIT_SECONDS
"""How long a worker may take to start, or to notice that a server does not answer."""

TAKE_OVER_SECONDS = 60.0
"""How soon other hosts must take over the mail of a lost one."""

QUICK: dict[str, Any] = {
    "OUTBOX_CONCURRENCY": 2,
    "OUTBOX_LEASE_SECONDS": 3.0,
    "OUTBOX_POLL_SECONDS": 0.2,
    "OUTBOX_BACKOFF_BASE_SECONDS": 0.05,
    "OUTBOX_BACKOFF_CAP_SECONDS": 0.1,
    "OUTBOX_LANE_PAUSE_CAP_SECONDS": 0.5,
    "MAIL_DEFAULT_SENDER": "shop@example.com",
}
"""Settings with short waits."""


class Program(Running):
    """``flask`` on a host, for the shop with these settings."""

    def __init__(
        self, host: Host, folder: Path, config: Mapping[str, Any], *words: str
    ) -> None:
        settings = ", ".join(f"{name}={value!r}" for name, value in config.items())
        app = f"tests.hosts.shop:create_app({settings})"
        quiet = ("-W", "ignore::ResourceWarning")  # its end closes what it has open
        flask = ("-m", "tests.plain_flask", "--app", app)
        super().__init__(folder, *quiet, *flask, *words, under=host.under)

    def wait_for(self, words: str, times: int = 1) -> None:
        """Return once its standard error contains the text ``times`` times."""
        eventually(
            lambda: self.stderr.count(words) >= times or self._alive(), PATIENCE_SECONDS
        )

    def _alive(self) -> bool:
        assert self.process.poll() is None, self.stderr
        return False


class Stage:
    """The shop, the workers and the mail server of one test."""

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
        worker.wait_for(" started (engine external).", processes)
        return worker

    def _start_celery(self, name: str, pool: str) -> Celery:
        under = self.network[name].under
        worker = Worker(self._new_folder(name), self._config, pool, under=under)
        return self._stack.enter_context(worker)

    def run(self, name: str, *words: str) -> list[str]:
        """The output of ``flask`` with these arguments on the named host."""
        return self.begin(name, *words).end().splitlines()

    def begin(self, name: str, *words: str, **config: Any) -> Program:
        """Start ``flask`` with these arguments there; killed at the end."""
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
        """The Message-IDs of all leased messages."""
        outbox = self.shop.outbox
        return {
            outbox.get(message_id).rfc_message_id
            for courier in self.shop.status().couriers
            for message_id in outbox.leased_to(courier.id)
        }

    def wait_until_sent(self, receipts: Sequence[Receipt]) -> None:
        """Return once all are sent, or fail."""
        outbox = self.shop.outbox

        def all_sent() -> bool:
            return {outbox.get(one.id).state for one in receipts} == {"sent"}

        eventually(all_sent, TAKE_OVER_SECONDS)

    def records(self, receipts: Sequence[Receipt]) -> list[MessageRecord]:
        """The current records of the messages."""
        return [self.shop.outbox.get(one.id) for one in receipts]

    def doubled(self, receipts: Sequence[Receipt]) -> set[str]:
        """What arrived twice (Message-IDs). Fails if one came never or more often."""
        copies = self.mail_host.copies
        assert copies.keys() == {one.rfc_message_id for one in receipts}
        assert set(copies.values()) <= {1, 2}
        return {one for one, count in copies.items() if count == 2}
