"""What these tests have done by processes of their own.

Each job is a function of this module: it is given a line to talk over, the settings of
an app, and whatever else it needs. It goes on until it is told ``None``.
"""

from __future__ import annotations

import email
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from signal import SIGKILL
from typing import Any

from blinker import NamedSignal
from sqlalchemy import Column, MetaData, String, Table, create_engine

from flask_outbox import Mail, Message, events
from flask_outbox.outbox import couriers
from flask_outbox.outbox.store import Outbox
from flask_outbox.transports.smtp import SmtpTransport
from flask_outbox.transports.smtp_link import SmtpLink
from tests.crash.journal import Journal
from tests.crash.points import Stop, after, before, is_final_dot
from tests.mail.site import make_app

Config = dict[str, Any]

RECIPIENTS = ("ada@example.org", "bob@example.org", "eve@example.org")
ATTACHMENT = bytes(range(256)) * 40

ORDERS = Table("shop_order", MetaData(), Column("name", String(64), primary_key=True))
"""A table of the app's own."""

CALLED, RETURNED = "/send-was-called", "/send-has-returned"
"""Paths that nobody has; a process looks for them to leave a mark in its trace."""


def open_mail(config: Config) -> Mail:
    """The mail of an app with these settings."""
    return Mail(make_app(Path.cwd(), **config))


def mail_named(subject: str) -> Message:
    """A mail with several recipients and an attachment, known by its subject."""
    message = Message(subject, list(RECIPIENTS), f"This is {subject}.\n")
    message.attach("bytes.bin", "application/octet-stream", ATTACHMENT)
    return message


# ---------------------------------------------------------------------------- sending


def send(line: Connection, config: Config, accepted: Path) -> None:
    """Send a mail for each subject of the lists told; a journal has what was accepted.

    Says so when all is sent.
    """
    mail, journal = open_mail(config), Journal(accepted)
    while (subjects := line.recv()) is not None:
        _send(mail, journal, subjects)
    line.send("sent")


def send_once(line: Connection, config: Config) -> None:
    """When told, send one mail between two calls that a trace shows; say what came."""
    mail = open_mail(config)
    line.recv()
    os.access(CALLED, os.F_OK)
    try:
        answer = "sent", mail.send(mail_named("once")).message_id
    except Exception as error:
        answer = type(error).__name__, str(error)
    os.access(RETURNED, os.F_OK)
    line.send(answer)


def send_for(line: Connection, config: Config, seconds: float) -> None:
    """Send as fast as it goes for so long, once told; say how long each took.

    Whatever `send` raises is said too. The first ``send()``, which opens the outbox,
    comes before.
    """
    mail = open_mail(config)
    mail.send(mail_named("first"))
    line.send("ready")
    line.recv()
    times, errors = [], []
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        try:
            mail.send(mail_named("another"))
        except Exception as error:
            errors.append(str(error))
        times.append(time.monotonic() - began)
    line.send((times, errors))


def send_on(
    line: Connection, name: str, config: Config, accepted: Path, threads: int
) -> None:
    """Send without end, in so many threads; a journal has what was accepted."""
    mail, journal = open_mail(config), Journal(accepted)

    def go_on(thread: int) -> None:
        number = 0
        while True:
            number += 1
            _send(mail, journal, [f"{name}-{thread}-{number}"])

    line.send("at work")
    for thread in range(threads):
        threading.Thread(target=go_on, args=[thread], daemon=True).start()
    line.recv()


def order_on(line: Connection, name: str, config: Config, accepted: Path) -> None:
    """Order without end: an order and its mail, in one transaction of the app's own."""
    mail, journal = open_mail(config), Journal(accepted)
    engine = create_engine(config["OUTBOX_URL"])
    line.send("at work")
    for number in itertools.count():
        order = f"{name}-{number}"
        with engine.begin() as connection:
            connection.execute(ORDERS.insert().values(name=order))
            receipt = mail.send(mail_named(order), session=connection)
        journal.keep(receipt.id, receipt.message_id)


def _send(mail: Mail, accepted: Journal, subjects: Iterable[str]) -> None:
    for subject in subjects:
        receipt = mail.send(mail_named(subject))
        accepted.keep(receipt.id, receipt.message_id)


# ------------------------------------------------------------------------- delivering


def deliver(
    line: Connection,
    config: Config,
    stop: Stop | None = None,
    trace: Path | None = None,
) -> None:
    """Be a courier, and say so."""
    mail = _begin(config, stop, trace)
    line.send("at work")
    line.recv()
    mail.stop()


def send_and_deliver(
    line: Connection,
    config: Config,
    accepted: Path,
    subjects: Iterable[str],
    stop: Stop | None = None,
    trace: Path | None = None,
) -> None:
    """Be what a web process is: send, with a courier beside."""
    mail = _begin(config, stop, trace)
    _send(mail, Journal(accepted), subjects)
    line.recv()
    mail.stop()


def deliver_and_tell(
    line: Connection, config: Config, names: Iterable[str], stop: Stop | None = None
) -> None:
    """Be a courier, and say when signals of these names are sent, and of what."""

    def listen_to(name: str) -> Callable[..., None]:
        def say(
            _app: object, message_id: str = "", error: object = "", **_: Any
        ) -> None:
            line.send((name, message_id or str(error)))

        return say

    for name in names:
        signal: NamedSignal = getattr(events, name)
        signal.connect(listen_to(name), weak=False)
    deliver(line, config, stop)


def deliver_elsewhere(line: Connection, config: Config, names: Iterable[str]) -> None:
    """Do so on a machine of one's own, as far as the others can tell."""
    couriers.this_process = lambda: f"boot-{os.getpid()}/pid:[1] 4711@815"
    deliver_and_tell(line, config, names)


def deliver_but_die_of(line: Connection, config: Config, subject: str) -> None:
    """Be a courier whom a mail with this subject kills."""

    def die(_transport: object, _envelope: object, body: bytes, _: object) -> None:
        if f"Subject: {subject}\r\n".encode() in body:
            os.kill(os.getpid(), SIGKILL)

    before(SmtpTransport, "deliver", die)
    deliver(line, config)


def _begin(config: Config, stop: Stop | None, trace: Path | None) -> Mail:
    """The app's mail, its courier at work."""
    if trace is not None:
        leave_traces(Journal(trace))
    if stop is not None:
        stop.arm()
    mail, started = open_mail(config), threading.Event()
    with events.courier_started.connected_to(lambda *_, **__: started.set()):
        mail.start()
        started.wait()
    return mail


def leave_traces(trace: Journal) -> None:
    """Note each message that is begun with care, may be through, or is recorded."""

    def begins(_outbox: Outbox, held: Any) -> None:
        trace.note("begun", message_id_of(held.content))

    def through(_link: SmtpLink, data: bytes) -> None:
        if is_final_dot(data):
            trace.note("through", message_id_of(bytes(data)))

    def recorded(_lost: object, _outbox: Outbox, records: Any, *_: object) -> None:
        for one in records:
            trace.note("recorded", message_id_of(one.claim.content))

    before(Outbox, "begin", begins)
    before(SmtpLink, "transmit", through)
    after(Outbox, "record", recorded)


def message_id_of(content: bytes) -> str:
    """The Message-ID of a content."""
    return str(email.message_from_bytes(content)["Message-ID"])
