"""``flask outbox feedback``: taking mail that reports about mail."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import click

from ..engines.shutdown import SIGNALS
from ..errors import OutboxError
from ..feedback.incoming import READ_BYTES
from ..humanize import counted
from ..intake import Intake
from .group import app_runtime
from .output import log_on_stderr, say, say_error

if TYPE_CHECKING:
    from ..intake.lmtp import LmtpServer

TRY_LATER = os.EX_TEMPFAIL
"""The exit code at which mail servers keep the mail and try again."""

_log = logging.getLogger("flask_outbox")


@click.group()
def feedback() -> None:
    """Take bounces and complaints that come back as mail.

    OUTBOX_BOUNCE_ADDRESS says where they come back.
    """


@feedback.command()
@click.option(
    "--to",
    "delivered_to",
    default="",
    help="The envelope's recipient, as the mail server knows it.",
)
def pipe(delivered_to: str) -> None:
    """Take one mail from standard input, from a mail server's pipe.

    The exit code is 0 once it is stored, also for a mail that changes nothing, and 75
    if that failed: the mail server then keeps the mail and tries again.
    """
    with log_on_stderr():
        try:
            Intake(app_runtime()).take(_standard_input(), delivered_to)
        except OutboxError as error:
            say_error(str(error))
            sys.exit(TRY_LATER)
        except Exception:
            _log.exception("A mail could not be taken.")
            sys.exit(TRY_LATER)


def _standard_input() -> bytes:
    """What is read of a mail. The rest is awaited, for the server writes all of it."""
    stream = sys.stdin.buffer
    content = stream.read(READ_BYTES)
    while stream.read(READ_BYTES):
        pass
    return content


@feedback.command()
@click.option(
    "--bind",
    required=True,
    metavar="HOST:PORT|unix:PATH",
    help="Where to listen.",
)
def lmtp(bind: str) -> None:
    """Take mail by LMTP from a mail server, until Ctrl-C or SIGTERM.

    A mail is accepted once what it reports is stored. Needs flask-outbox[feedback].
    """
    try:
        from ..intake.lmtp import LmtpServer
    except ImportError as error:
        raise missing_extra("aiosmtpd") from error
    runtime = app_runtime()
    intake = Intake(runtime)
    with log_on_stderr():
        asyncio.run(_serve(LmtpServer(intake, bind, runtime.sender)))
    say(summary(intake))


async def _serve(server: LmtpServer) -> None:
    """Serve until the first signal; a second ends the process at once."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        over.set()
        for one in SIGNALS:
            loop.remove_signal_handler(one)

    for one in SIGNALS:
        loop.add_signal_handler(one, stop)
    async with server.listening() as place:
        click.echo(f"Listening at {place}. Ctrl-C or SIGTERM stops.", err=True)
        await over.wait()


@feedback.command()
@click.argument("url", required=False)
@click.option(
    "--move-to", metavar="FOLDER", help="Move each mail there once it is taken."
)
@click.option("--once", is_flag=True, help="End once all mail in the mailbox is taken.")
def imap(url: str | None, move_to: str | None, *, once: bool) -> None:
    """Take the mails in a mailbox, and new ones, until Ctrl-C or SIGTERM.

    URL is imaps://user:password@host/FOLDER; without it, OUTBOX_BOUNCE_MAILBOX is read,
    where other users of the machine cannot see the password. The outbox notes how far
    it was read. Needs flask-outbox[feedback].
    """
    try:
        from ..intake.imap import Mailbox, MailboxUrl
    except ImportError as error:
        raise missing_extra("IMAPClient") from error
    runtime = app_runtime()
    url = url or runtime.settings.bounce_mailbox
    if url is None:
        raise click.UsageError("Give a URL, or set OUTBOX_BOUNCE_MAILBOX.")
    intake = Intake(runtime)
    place = MailboxUrl.read(url)
    mailbox = Mailbox(place, intake, runtime.outbox, move_to)
    with log_on_stderr(), _stopped_by_signals(mailbox.stop):
        click.echo(f"Reading {place}. Ctrl-C or SIGTERM stops.", err=True)
        mailbox.read(once=once)
    say(summary(intake))


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` at the first signal; a second ends the process at once."""
    before = {one: signal.getsignal(one) for one in SIGNALS}

    def first(_number: int, _frame: FrameType | None) -> None:
        for one in SIGNALS:
            signal.signal(one, signal.SIG_DFL)
        stop()

    for one in SIGNALS:
        signal.signal(one, first)
    try:
        yield
    finally:
        for one, taker in before.items():
            signal.signal(one, taker)


def missing_extra(package: str) -> click.ClickException:
    """The error for a package that the command needs."""
    return click.ClickException(
        f"This needs the package {package}: install it with pip install "
        '"flask-outbox[feedback]".'
    )


def summary(intake: Intake) -> str:
    """How many mails were taken, and what they were."""
    counts = intake.counts
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
    return f"Ended: {counted(sum(counts.values()), 'mail')} taken ({kinds or 'none'})."
