"""Takes mail that reports about mail: from a pipe, by LMTP, from a mailbox.

What a mail reports is stored before `Intake.take` returns.

- `lmtp`: a server to which a mail server hands them
- `imap`: the mailbox that they are in
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping

from ..bounce_address import BounceAddress
from ..errors import ConfigError, MessageNotFound
from ..feedback.reading import MailKind, Reading, read_mail
from ..outbox.records import Taking
from ..runtime import Runtime

_log = logging.getLogger("flask_outbox")

_WHY_NOTHING = {
    MailKind.BOUNCE: "says nothing new of the recipients of message {id}",
    MailKind.COMPLAINT: "is not a complaint about message {id}",
    MailKind.AUTO_REPLY: "is an automatic reply to message {id}",
    MailKind.UNSIGNED: "has no token that this app signed",
    MailKind.OTHER: "answers message {id}, but is not a report",
}


class Intake:
    """Takes the mails that come to an app's bounce address. Safe to share between
    threads.

    Raises `ConfigError` if the app has no bounce address.
    """

    def __init__(self, runtime: Runtime) -> None:
        bounces = runtime.outbox.bounces
        if bounces is None:
            raise ConfigError(
                "This app has no bounce address: set OUTBOX_BOUNCE_ADDRESS, for "
                "example to 'bounces@example.com'."
            )
        self.bounces: BounceAddress = bounces
        self._runtime = runtime
        self._counts: Counter[str] = Counter()

    @property
    def counts(self) -> Mapping[str, int]:
        """How many mails were taken: *applied*, and by kind those that changed nothing.

        Each is counted once.
        """
        return dict(self._counts)

    def accepts(self, address: str) -> bool:
        """Whether mail to this address is for us: the bounce address, bare or with a
        valid token.
        """
        local, _, domain = address.rpartition("@")
        base, plus, token = local.rpartition("+")
        if domain.lower() != self.bounces.domain:
            return False
        if not plus:
            return local.lower() == self.bounces.local.lower()
        right = base.lower() == self.bounces.local.lower()
        return right and self.bounces.message_of(token) is not None

    def take(self, content: bytes, delivered_to: str = "") -> Reading:
        """Store what a mail reports, and log what became of it.

        ``delivered_to`` is the envelope's recipient, if known. A mail that was taken
        before changes nothing. Raises `OutboxUnavailable` with nothing stored.
        """
        now = self._runtime.outbox.clock()
        reading = self._attributed(read_mail(content, self.bounces, now, delivered_to))
        taken = self._runtime.take_feedback(reading.feedback)
        applied = taken.count(Taking.APPLIED)
        repeated = taken.count(Taking.REPEATED)
        if applied or taken.count(Taking.UNMATCHED):
            self._counts["applied"] += 1
            _log.info(
                "A %s about message %s was recorded: %s.",
                reading.kind,
                reading.message_id,
                ", ".join(sorted(one.fate for one in reading.feedback)),
            )
        elif repeated:
            self._counts["repeated"] += 1
            _log.info("A %s was recorded before: it changes nothing.", reading.kind)
        else:
            self._counts[reading.kind] += 1
            why = _WHY_NOTHING[reading.kind].format(id=reading.message_id)
            _log.info("A mail %s: it changes nothing.", why)
        return reading

    def _attributed(self, reading: Reading) -> Reading:
        """About the message's own recipients, if the message is here."""
        if not reading.feedback or reading.message_id is None:
            return reading
        try:
            record = self._runtime.outbox.get(reading.message_id)
        except MessageNotFound:
            return reading
        return reading.attributed([one.address for one in record.recipients])
