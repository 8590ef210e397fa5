"""The jobs that these tests run in processes of their own.

Each job is a function of this module. It gets a connection to the test, the settings of
an app, and other arguments. It runs until it receives ``None``.
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

from flask_outbox import Mail, Message, signals
from flask_outbox.outbox import Outbox, couriers
from flask_outbox.transports.smtp import SmtpTransport
from flask_outbox.transports.smtp.protocol import SmtpLink
from tests.crash.journal import Journal
from tests.crash.points import Stop, after, before, is_final_dot
from tests.mail.site import make_app

Config = dict[str, Any]

RECIPIENTS = ("ada@example.org", "bob@example.org", "eve@example.org")
ATTACHMENT = bytes(range(256)) * 40

ORDERS = Table("shop_order", MetaData(), Column("name", String(64), primary_key=True))
"""A table of the app."""

CALLED, RETURNED = "/send-was-called", "/send-has-returned"
"""Paths that do not exist; looking for them leaves a mark in the trace."""


def open_mail(config: Config) -> Mail:
    """The mail of an app with these settings."""
    return Mail(make_app(Path.cwd(), **config))


def mail_named(subject: str) -> Message:
    """A mail with this subject, several recipients and an attachment."""
    message = Message(subject, list(RECIPIENTS), f"This is {subject}.\n")
    message.attach("bytes.bin", "application/octet-stream", ATTACHMENT)
    return message


# ---------------------------------------------------------------------------- sending


def send(line: Connection, config: Config, accepted: Path) -> None:
    """Send a mail for each subject received; journal what was accepted.

    Reports when all are sent.
    """
    mail, journal = open_mail(config), Journal(accepted)
    while (subjects := line.recv()) is not None:
        _send(mail, journal, subjects)
    line.send("sent")


def send_once(line: Connection, config: Config) -> None:
    """When told, send one mail between two traced calls; report the result."""
    mail = open_mail(config)
    line.recv()
    os.access(CALLED, os.F_OK)
    try:
        answer = "sent", mail.send(mail_named("once")).rfc_message_id
    except Exception as error:
        answer = type(error).__name__, str(error)
    os.access(RETURNED, os.F_OK)
    line.send(answer)


def send_for(line: Connection, config: Config, seconds: float) -> None:
    """When told, send as fast as possible for so long; report each start and end.

    Errors are reported, too. The first ``send()``, which opens the outbox, precedes.
    """
    mail = open_mail(config)
    mail.send(mail_named("first"))
    line.send("ready")
    line.recv()
    sends, errors = [], []
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        try:
            mail.send(mail_named("another"))
        except Exception as error:
            errors.append(str(error))
        sends.append((began, time.monotonic()))
    line.send((sends, errors))


def send_on(
    line: Connection,
    name: str,
    config: Config,
    accepted: Path,
    threads: int,
    pause_seconds: float = 0.0,
) -> None:
    """Send endlessly in ``threads`` threads; journal what was accepted."""
    mail, journal = open_mail(config), Journal(accepted)

    def go_on(thread: int) -> None:
        number = 0
        while True:
            number += 1
            _send(mail, journal, [f"{name}-{thread}-{number}"])
            time.sleep(pause_seconds)

    line.send("at work")
    for thread in range(threads):
        threading.Thread(target=go_on, args=[thread], daemon=True).start()
    line.recv()


def order_on(line: Connection, name: str, config: Config, accepted: Path) -> None:
    """Endlessly store an order and its mail in one transaction of the app."""
    mail, journal = open_mail(config), Journal(accepted)
    engine = create_engine(config["OUTBOX_URL"])
    line.send("at work")
    for number in itertools.count():
        order = f"{name}-{number}"
        with engine.begin() as connection:
            connection.execute(ORDERS.insert().values(name=order))
            receipt = mail.send(mail_named(order), session=connection)
        journal.keep(receipt.id, receipt.rfc_message_id)


def _send(mail: Mail, accepted: Journal, subjects: Iterable[str]) -> None:
    for subject in subjects:
        receipt = mail.send(mail_named(subject))
        accepted.keep(receipt.id, receipt.rfc_message_id)


# ------------------------------------------------------------------------- delivering


def deliver(
    line: Connection,
    config: Config,
    stop: Stop | None = None,
    trace: Path | None = None,
) -> None:
    """Run a courier, and report that it works."""
    mail = _begin(config, stop, trace)
    line.send("at work")
    line.recv()
    mail.stop()


def send_and_deliver(
    line: Connection,
    config: Config,
    accepted: Path,
    subjects: Iterable[str],
    trace: Path,
) -> None:
    """Report that a courier works, and send beside it as a web process does."""
    mail = _begin(config, None, trace)
    line.send("at work")
    _send(mail, Journal(accepted), subjects)
    line.recv()
    mail.stop()


def send_one_by_one_and_deliver(
    line: Connection,
    config: Config,
    accepted: Path,
    name: str,
    stop: Stop,
    trace: Path,
) -> None:
    """Do the same endlessly, each mail once the courier has sent one.

    Sooner or later it has a place for what is handed over.
    """
    mail, journal = _begin(config, stop, trace), Journal(accepted)
    line.send("at work")
    for number in itertools.count():
        sent = threading.Event()
        with signals.message_sent.connected_to(_setting(sent)):
            _send(mail, journal, [f"{name}-{number}"])
            sent.wait()


def _setting(event: threading.Event) -> Callable[..., None]:
    return lambda *_, **__: event.set()


def deliver_and_tell(
    line: Connection, config: Config, names: Iterable[str], stop: Stop | None = None
) -> None:
    """Run a courier; report each signal of these names, with its message."""

    def listen_to(name: str) -> Callable[..., None]:
        def say(
            _app: object, message_id: str = "", error: object = "", **_: Any
        ) -> None:
            line.send((name, message_id or str(error)))

        return say

    for name in names:
        signal: NamedSignal = getattr(signals, name)
        signal.connect(listen_to(name), weak=False)
    deliver(line, config, stop)


def deliver_elsewhere(line: Connection, config: Config, names: Iterable[str]) -> None:
    """Do the same, seemingly on another machine."""
    couriers.this_process = lambda: f"boot-{os.getpid()}/pid:[1] 4711@815"
    deliver_and_tell(line, config, names)


def deliver_but_die_of(line: Connection, config: Config, subject: str) -> None:
    """Run a courier that dies when it delivers a mail with this subject."""

    def die(_transport: object, _envelope: object, body: bytes, _: object) -> None:
        if f"Subject: {subject}\r\n".encode() in body:
            os.kill(os.getpid(), SIGKILL)

    before(SmtpTransport, "deliver", die)
    deliver(line, config)


def _begin(config: Config, stop: Stop | None, trace: Path | None) -> Mail:
    """The app's mail, with its courier running."""
    if trace is not None:
        leave_traces(Journal(trace))
    if stop is not None:
        stop.arm()
    mail, started = open_mail(config), threading.Event()
    with signals.courier_started.connected_to(_setting(started)):
        mail.start()
        started.wait()
    return mail


def leave_traces(trace: Journal) -> None:
    """Note each message that is durably begun, may be accepted, or is recorded."""

    def begins(_outbox: Outbox, held: Any) -> None:
        trace.note("begun", message_id_of(held.content))

    def through(_link: SmtpLink, data: bytes) -> None:
        if is_final_dot(data):
            trace.note("through", message_id_of(bytes(data)))

    def recorded(_result: object, _outbox: Outbox, records: Any, *_: object) -> None:
        for one in records:
            trace.note("recorded", message_id_of(one.claim.content))

    before(Outbox, "begin", begins)
    before(SmtpLink, "transmit", through)
    after(Outbox, "record", recorded)


def message_id_of(content: bytes) -> str:
    """The Message-ID of a content."""
    return str(email.message_from_bytes(content)["Message-ID"])
