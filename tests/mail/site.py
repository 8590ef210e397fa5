"""One Flask app with its `Mail`, and an ear for everything that its signals say."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from blinker import NamedSignal
from flask import Flask

from flask_outbox import Mail, Message, MessageRecord, Receipt, State, events
from flask_outbox.outbox.records import Status
from flask_outbox.outbox.store import Outbox
from flask_outbox.runtime import Runtime
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
    "OUTBOX_GRACE_SECONDS": 2.0,
}
"""Settings that leave tests nothing to wait for."""

SIGNALS: tuple[NamedSignal, ...] = tuple(
    one for one in vars(events).values() if isinstance(one, NamedSignal)
)


@dataclass(frozen=True)
class Heard:
    """A signal as a listener gets it."""

    signal: NamedSignal
    sender: object
    payload: dict[str, Any]
    thread: str


class Site:
    """An app, its mail, and what was heard of it. `close` leaves nothing behind."""

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
        """What the app keeps in its extensions."""
        runtime: Runtime = self.app.extensions["outbox"].runtime
        return runtime

    @property
    def outbox(self) -> Outbox:
        """The app's outbox itself."""
        return self.runtime.outbox

    def status(self) -> Status:
        """The outbox at a glance."""
        return self.outbox.status()

    def counts(self) -> dict[State, int]:
        """How many messages are in which state; states without any are left out."""
        counts = self.status().counts
        return {state: count for state, count in counts.items() if count}

    def make_ready(self) -> None:
        """Return once its courier works, where tenths of a second count."""
        with self.app.app_context():
            self.mail.start()
        self.wait_for(events.courier_started)

    def send(self, *recipients: str, **wishes: Any) -> Receipt:
        """Send a plain message, by default to Ada, inside the app's context."""
        with self.app.app_context():
            return self.mail.send(
                Message("Hello", list(recipients) or [ADA], "Hello\n"), **wishes
            )

    def get(self, receipt: Receipt) -> MessageRecord:
        """What became of it until now."""
        with self.app.app_context():
            return self.mail.get(receipt.id)

    def told(self, signal: NamedSignal) -> list[dict[str, Any]]:
        """The payloads with which the signal was sent so far."""
        with self._news:
            return [one.payload for one in self.heard if one.signal is signal]

    def wait_until(self, true: Callable[[], Any], what: str) -> None:
        """Return once ``true()``, looked at whenever a signal is sent, or fail."""
        with self._news:
            if not self._news.wait_for(true, WAIT_SECONDS):
                raise AssertionError(
                    f"not within {WAIT_SECONDS} s: {what}; heard: "
                    f"{[(one.signal.name, one.payload) for one in self.heard]}"
                )

    def wait_for(self, signal: NamedSignal, times: int = 1) -> list[dict[str, Any]]:
        """Return the payloads once the signal was sent so many times, or fail."""
        self.wait_until(lambda: len(self.told(signal)) >= times, str(signal.name))
        return self.told(signal)

    def settled(self, receipt: Receipt) -> MessageRecord:
        """Return the message's record once couriers are done with it, or fail."""
        self.wait_until(
            lambda: self.get(receipt).state.final, f"{receipt.id} is settled"
        )
        return self.get(receipt)

    def close(self) -> None:
        """Stop the courier, close the database, hear no more."""
        with self.app.app_context():
            self.mail.stop()
        self.outbox.database.close()
        for signal, ear in self._ears:
            signal.disconnect(ear, sender=self.app)


def url_of(server: JournalSmtp) -> str:
    """The ``MAIL_URL`` that leads to the server."""
    return f"smtp://{server.host}:{server.port}"


def make_app(folder: Path, **config: Any) -> Flask:
    """A Flask app with its instance folder there; ``testing`` is what it is there."""
    app = Flask(folder.name, instance_path=str(folder))
    app.config.update(QUICK)
    app.config.update(config)
    return app
