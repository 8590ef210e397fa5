"""A transport for Flask-Outbox: stores mail in a Maildir for each recipient."""

from __future__ import annotations

import asyncio
import mailbox
import threading
from pathlib import Path

from flask_outbox import ConfigError, Outcome, Reply, Report, Transport, TransportDown
from flask_outbox.config import Key, UrlSettings
from flask_outbox.config.convert import as_flag
from flask_outbox.delivery import Envelope, Progress, RecipientReport
from flask_outbox.errors import OVERDUE, LeaseLost


class MaildirTransport(Transport):
    """``maildir:///srv/mail?create=yes``: a folder, with a Maildir for each address."""

    options = (
        Key("create", "bool", False, "Make the Maildir of an address.", as_flag),
    )

    def __init__(self, settings: UrlSettings) -> None:
        self._folder = Path("/", settings.path)
        self._create: bool = settings.options["create"]
        self._creating = threading.Lock()

    @classmethod
    def check_settings(cls, settings: UrlSettings) -> None:
        """Refuse a URL without a folder."""
        if not settings.path:
            raise ConfigError(
                'maildir:// names no folder: write "maildir:///srv/mail".'
            )

    async def deliver(
        self, envelope: Envelope, content: bytes, progress: Progress
    ) -> Report:
        """Store the message for each recipient of the envelope."""
        await self.probe()
        if not progress.lease_holds():
            raise LeaseLost(OVERDUE)
        progress.final_dot_sent = True
        reports = {
            recipient: await asyncio.to_thread(self._store, recipient, content)
            for recipient in envelope.recipients
        }
        return Report(reports)

    def _store(self, recipient: str, content: bytes) -> RecipientReport:
        folder = self._folder / recipient.replace("/", "_")
        if not folder.exists() and not self._create:
            refused = Reply(550, "5.1.1", f"{recipient} has no Maildir here")
            return RecipientReport(Outcome.REFUSED, refused)
        try:
            with self._creating:
                maildir = mailbox.Maildir(folder)
            stored = maildir.add(content)
        except OSError as error:
            return RecipientReport(Outcome.DEFERRED, Reply.observed(str(error)))
        return RecipientReport(Outcome.ACCEPTED, Reply(250, None, f"is {stored}"))

    async def probe(self) -> None:
        """Return if the folder exists, else raise `TransportDown`."""
        if not self._folder.is_dir():
            raise TransportDown(f"{self._folder} is no folder.")

    async def close(self) -> None:
        """Do nothing: no resources are held."""
