"""A Flask app with its `Mail`, which records all its signals."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from blinker import NamedSignal
from flask import Flask

from flask_outbox import Mail, Message, MessageRecord, Receipt, State, signals
from flask_outbox.app_state import default_file
from flask_outbox.courier import Courier
from flask_outbox.outbox import Outbox
from flask_outbox.outbox.records import OutboxStatus
from flask_outbox.runtime import Runtime
from tests.outbox.databases import put_empty_outbox
from tests.servers import JournalSmtp
from tests.waiting import WAIT_SECONDS

SENDER = "shop@example.com"
ADA, BOB = "ada@example.org", "bob@example.org"

QUICK = {
    "MAIL_DEFAULT_SENDER": SENDER,
    "OUTBOX_BACKOFF_BASE_SECONDS": 0.05,
    "OUTBOX_BACKOFF_CAP_SECONDS": 0.1,
    "OUTBOX_LANE_PAUSE_CAP_SECONDS": 0.1,
    "OUTBOX_UNKNOWN_WAIT_SECONDS": 0.1,
    "OUTBOX_GRACE_SECONDS": 30.0,
}
"""Settings with the shortest waits."""

PUT_OFF_FOR_LONG = {
    "OUTBOX_BACKOFF_BASE_SECONDS": 1e12,
    "OUTBOX_BACKOFF_CAP_SECONDS": 1e12,
}
"""Deferred messages do not become due during a test, whatever the jitter."""

SIGNALS: tuple[NamedSignal, ...] = tuple(
    one for one in vars(signals).values() if isinstance(one, NamedSignal)
)


@dataclass(frozen=True)
class Heard:
    """A signal that a listener received."""

    signal: NamedSignal
    sender: object
    payload: dict[str, Any]
    thread: str


class Site:
    """An app, its mail, and the signals received. `close` ends everything."""

    def __init__(self, app: Flask, mail: Mail) -> None:
        self.app = app
        self.mail = mail
        self.heard: list[Heard] = []
        self._news = threading.Condition()
        self._ears = [(signal, partial(self._hear, signal)) for signal in SIGNALS]
        for signal, ear in self._ears:
            signal.connect(ear, sender=app, weak=False)

    def _hear(self, signal: NamedSignal, sender: object, **payload: Any) -> None:
        with self._news:
            thread = threading.current_thread().name
            self.heard.append(Heard(signal, sender, payload, thread))
            self._news.notify_all()

    @property
    def runtime(self) -> Runtime:
        """The app's runtime."""
        runtime: Runtime = self.app.extensions["outbox"].runtime
        return runtime

    @property
    def courier(self) -> Courier:
        """The courier of this process, which is running."""
        thread = self.runtime._thread
        assert thread is not None
        return thread.courier

    @property
    def outbox(self) -> Outbox:
        """The app's outbox."""
        return self.runtime.outbox

    def status(self) -> OutboxStatus:
        """The outbox's status."""
        return self.outbox.status()

    def counts(self) -> dict[State, int]:
        """How many messages are in each state; without states that are empty."""
        counts = self.status().counts
        return {state: count for state, count in counts.items() if count}

    def make_ready(self) -> None:
        """Return once its courier is running, for tests with tight timing."""
        with self.app.app_context():
            self.mail.start()
        self.wait_for(signals.courier_started)

    def send(self, *recipients: str, **options: Any) -> Receipt:
        """Send a plain message, by default to Ada, inside the app's context."""
        with self.app.app_context():
            return self.mail.send(
                Message("Hello", list(recipients) or [ADA], "Hello\n"), **options
            )

    def get(self, receipt: Receipt) -> MessageRecord:
        """The message's current record."""
        with self.app.app_context():
            return self.mail.get(receipt.id)

    def told(self, signal: NamedSignal) -> list[dict[str, Any]]:
        """The payloads of the signal so far."""
        with self._news:
            return [one.payload for one in self.heard if one.signal is signal]

    def wait_until(self, true: Callable[[], Any], what: str) -> None:
        """Return once ``true()``, checked at each signal, or fail.

        What another site or process makes true sends no signal here.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        with self._news:
            while not true():
                if not self._news.wait(deadline - time.monotonic()):
                    raise AssertionError(
                        f"no signal within {WAIT_SECONDS} s after which {what}; heard: "
                        f"{[(one.signal.name, one.payload) for one in self.heard]}"
                    )

    def wait_for(self, signal: NamedSignal, times: int = 1) -> list[dict[str, Any]]:
        """Return the payloads once the signal was sent this often, or fail."""
        self.wait_until(lambda: len(self.told(signal)) >= times, str(signal.name))
        return self.told(signal)

    def settled(self, receipt: Receipt) -> MessageRecord:
        """Return the message's record once couriers are done with it, or fail."""
        self.wait_until(
            lambda: self.get(receipt).state.final, f"{receipt.id} is settled"
        )
        return self.get(receipt)

    def close(self) -> None:
        """Stop the courier, close the database, and disconnect from signals."""
        with self.app.app_context():
            self.mail.stop()
        self.outbox.database.close()
        for signal, ear in self._ears:
            signal.disconnect(ear, sender=self.app)


def url_of(server: JournalSmtp) -> str:
    """The ``MAIL_URL`` of the server."""
    return f"smtp://{server.host}:{server.port}"


def make_app(folder: Path, **config: Any) -> Flask:
    """A Flask app with its instance folder there."""
    app = Flask(folder.name, instance_path=str(folder))
    app.config.update(QUICK)
    app.config.update(config)
    return app


def make_app_with_outbox(folder: Path, **config: Any) -> Flask:
    """The same, and its outbox is there already, unless the settings say where."""
    app = make_app(folder, **config)
    if not {"OUTBOX_URL", "TESTING"} & config.keys():
        put_empty_outbox(default_file(str(folder), app.name))
    return app
