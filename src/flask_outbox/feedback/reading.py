"""Reading a mail that came back: whose it is, and what it says of whom."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

from ..bounce_address import BounceAddress
from ..message import comparable
from .auto_reply import is_auto_reply
from .complaint import Complaint, is_complaint
from .fate import Feedback
from .incoming import IncomingMail
from .plain_report import read_plain_report
from .report import RecipientFate, is_report, read_report
from .status import Judgement


class MailKind(StrEnum):
    """What a mail that came in is."""

    BOUNCE = "bounce"
    """A server reports what became of a message."""
    COMPLAINT = "complaint"
    """A mailbox provider passes on a recipient's complaint."""
    AUTO_REPLY = "auto-reply"
    """An automatic reply, which says nothing of delivery."""
    UNSIGNED = "unsigned"
    """Whatever it says, it has no valid token of a message of this app."""
    OTHER = "other"
    """Anything else, such as a person's reply."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a mail is, and what it reports. Without feedback it changes nothing."""

    kind: MailKind
    feedback: tuple[Feedback, ...] = ()
    message_id: str | None = None
    """The id of the message whose token it has."""

    def attributed(self, recipients: Sequence[str]) -> Reading:
        """The same, of the message's own ``recipients``.

        A report may name an address to which a recipient's mail was forwarded. If the
        message has one recipient, it is about that one; if it has several, it cannot be
        told which, and nothing is said.
        """
        own = {comparable(one): one for one in recipients}
        exact = [
            replace(one, address=own[named])
            for one in self.feedback
            if (named := comparable(one.address or "")) in own
        ]
        if not exact and len(own) == 1:
            (only,) = recipients
            exact = [replace(one, address=only) for one in self.feedback[:1]]
        return replace(self, feedback=tuple(exact))


def read_mail(
    content: bytes, bounces: BounceAddress, now: float, delivered_to: str = ""
) -> Reading:
    """Read a mail that came to a bounce address; never raises, whatever its bytes.

    ``delivered_to`` is the envelope's recipient, where it is known. Bounded work: what
    comes after the first `READ_BYTES` is not read.
    """
    mail = IncomingMail.read(content)
    message_id = _message_of(mail, bounces, delivered_to)
    if message_id is None:
        return Reading(MailKind.UNSIGNED)
    kind, fates, source, detail = _what_it_says(mail, bounces)
    at = _date(mail, now)
    key = _identity(mail)
    feedback = [
        Feedback(
            fate=one.judgement.fate,
            source=source,
            event_id=_event_id(key, message_id, one),
            at=at,
            address=one.address,
            message_id=message_id,
            reply=one.reply,
            operator=one.judgement.operator,
            detail=detail,
        )
        for one in fates
    ]
    return Reading(kind, tuple(feedback), message_id)


def _message_of(
    mail: IncomingMail, bounces: BounceAddress, delivered_to: str
) -> str | None:
    """The message whose report it is: where the mail went to says it best."""
    for text in (delivered_to, mail.whole, *(one.text for one in mail.parts)):
        if (message_id := bounces.first_message_in(text)) is not None:
            return message_id
    return None


_Said = tuple[MailKind, Iterable[RecipientFate], str, dict[str, str]]


def _what_it_says(mail: IncomingMail, bounces: BounceAddress) -> _Said:
    if is_complaint(mail):
        return _complaint(mail)
    if is_report(mail):
        return MailKind.BOUNCE, read_report(mail), "report", {}
    if is_auto_reply(mail):
        return MailKind.AUTO_REPLY, (), "", {}
    found = read_plain_report(mail, frozenset({bounces.spec.lower()}))
    return MailKind.BOUNCE if found else MailKind.OTHER, found, "report", {}


def _complaint(mail: IncomingMail) -> _Said:
    complaint = Complaint(mail)
    detail = {"kind": complaint.kind}
    if complaint.user_agent:
        detail["user_agent"] = complaint.user_agent
    if (fate := complaint.fate) is None:
        return MailKind.COMPLAINT, (), "complaint", detail
    judgement = Judgement(fate)
    fates = [RecipientFate(one, judgement) for one in complaint.addresses]
    return MailKind.COMPLAINT, fates, "complaint", detail


def _date(mail: IncomingMail, now: float) -> datetime:
    """When the report was written; ``now`` at the latest."""
    present = datetime.fromtimestamp(now, UTC)
    try:
        said = parsedate_to_datetime(mail.header("date"))
        return min(said if said.tzinfo else said.replace(tzinfo=UTC), present)
    except (TypeError, ValueError, OverflowError):
        return present


def _identity(mail: IncomingMail) -> str:
    """The same for the same mail, whichever way it came; its relays' traces differ."""
    return mail.header("message-id") or mail.whole.partition("\n\n")[2]


def _event_id(identity: str, message_id: str, one: RecipientFate) -> str:
    said = "\0".join((identity, message_id, one.address or "", one.judgement.fate))
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:32]
