"""A shop whose dashboard has something to show, and is to be looked at."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from flask import Flask

from flask_outbox import EventKind, Mail, Message, State
from flask_outbox.counters import Counters
from flask_outbox.demo.server import HOST, Behaviour
from flask_outbox.demo.smtp import LocalSmtp
from flask_outbox.demo.web import WebServer, listen
from flask_outbox.outbox.outbox import Outbox
from flask_outbox.outbox.stats import stats_row

SETTINGS = {
    "DEBUG": True,
    "MAIL_DEFAULT_SENDER": ("The shop", "shop@example.com"),
    "MAIL_RATE": "20/s, 5000/h",
    "OUTBOX_DASHBOARD": "local",
    "OUTBOX_UNSUBSCRIBE_PATH": "/unsubscribe",
    "SECRET_KEY": "for pictures only",
    "OUTBOX_BACKOFF_BASE_SECONDS": 0.5,
    "OUTBOX_GRACE_SECONDS": 1.0,
}

mail = Mail()


@dataclass(frozen=True)
class Shop:
    """Where the shop can be looked at."""

    app: Flask
    dashboard: str
    order: str
    """The id of the mail whose history is worth a look."""
    refused: str
    """The id of a mail that the server refused."""
    batch: str
    """The id of a newsletter that is half sent."""
    unsubscribe: str
    """The address of a reader's link."""


@contextmanager
def open_shop(
    transports: Mapping[str, str] | None = None, **more: object
) -> Iterator[Shop]:
    """The shop, for the ``with`` block; with more ``transports`` and settings."""
    with TemporaryDirectory() as folder:
        smtp = LocalSmtp(Path(folder) / "arrived")
        smtp.start()
        app = make_app(Path(folder), smtp, transports or {}, more)
        web = WebServer(app, listen(0))
        web.start()
        with app.app_context():
            batch = send_newsletter()
            order, refused = fill(app, smtp)
        with app.test_request_context(base_url=web.address):
            link = mail.unsubscribe_url("grace@example.org", list="news")
        yield Shop(app, f"{web.address}outbox", order, refused, batch, link)
        web.stop()
        with app.app_context():
            mail.stop()
        smtp.stop()


def make_app(
    folder: Path,
    smtp: LocalSmtp,
    transports: Mapping[str, str],
    more: Mapping[str, object],
) -> Flask:
    """The shop: one view that sends a mail, and two transports."""
    app = Flask("shop", instance_path=str(folder))
    url = f"smtp://{HOST}:{smtp.port}"
    app.config.update(SETTINGS, MAIL_URL=url)
    app.config.update(more, MAIL_TRANSPORTS={"news": url, **transports})
    mail.init_app(app)

    @app.post("/orders/<int:number>")
    def order(number: int) -> str:
        text = "Thank you for your order. It is on its way.\n"
        html = (
            '<body style="font-family:sans-serif"><h2>Thank you, Ada!</h2>'
            "<p>Your order <b>2026-114</b> is on its way. "
            '<a href="https://shop.example.com/orders/114">Follow it</a></p></body>'
        )
        message = Message("Your order 2026-114", ["ada@example.org"], text, html=html)
        message.attach("invoice-2026-114.pdf", "application/pdf", b"%PDF-1.4\n")
        return mail.send(message, tag="orders", metadata={"order": number}).id

    return app


def fill(app: Flask, smtp: LocalSmtp) -> tuple[str, str]:
    """Send mail of several kinds with several ends; the ids of the order's and of the
    one that was refused.
    """
    outbox: Outbox = app.extensions["outbox"].runtime.outbox
    mail.drain(30)
    smtp.behave(Behaviour.REFUSING)
    refused = mail.send(hello("Welcome, Grace", "grace@example.org"), tag="welcome")
    wait_for(outbox, refused.id, State.FAILED)
    smtp.behave(Behaviour.BUSY)
    with app.test_client().post("/orders/114") as response:
        order = response.text
    wait_for(outbox, order, State.PENDING)
    smtp.behave(Behaviour.WELL)
    wait_for(outbox, order, State.SENT)
    for hours in range(1, 5):
        reminder = hello(f"Your basket is waiting ({hours})", "alan@example.org")
        mail.send(reminder, tag="reminders", delay=3_600 * hours)
    beat(outbox, refused.id)
    return order, refused.id


def send_newsletter() -> str:
    """Send a newsletter, and pause it when a part has left; the id of the batch."""
    everyone = [news(number) for number in range(48)]
    name = "What is new in November"
    id = mail.send_many(everyone, name=name, tag="news", transport="news").id
    while mail.batch(id).finished < len(everyone) / 3:
        pass
    mail.pause_batch(id)
    return id


def news(number: int) -> Message:
    """One copy of the newsletter."""
    return hello("What is new in November", f"reader{number}@example.org")


def hello(subject: str, address: str) -> Message:
    """A plain message."""
    return Message(subject, [address], "Hello!\n")


def wait_for(outbox: Outbox, id: str, state: State) -> None:
    """Return once couriers have brought the message there."""
    while not (record := outbox.get(id)).attempts or record.state is not state:
        pass


def beat(outbox: Outbox, failed: str) -> None:
    """An hour of statistics, as a shop would have."""
    minute = int(outbox.clock()) // 60 * 60
    rows = []
    for ago in range(2, 60):
        tally = Counters()
        sent = round(140 + 90 * math.sin(ago / 7) + 25 * math.sin(ago * 1.7))
        tally.ended[EventKind.SENT] = sent
        tally.ended[EventKind.DEFERRED] = sent // 15 if 20 < ago < 27 else 1
        tally.ended[EventKind.FAILED] = int(ago % 11 == 0) * 3
        for index in range(sent):
            slow = 20 < ago < 27 and index % 9 == 0
            tally.waits.add(2.0 if slow else 0.04 if index % 4 else 0.2)
        if 20 < ago < 27:
            tally.count_trouble(
                "451 4.7.1 Greylisted, try again later", failed, sent // 15
            )
        if ago % 11 == 0:
            tally.count_trouble("550 5.1.1 There is no such mailbox here", failed, 3)
        rows.append(stats_row(minute - 60 * ago, "", "default", tally))
    outbox.write_stats(rows)
