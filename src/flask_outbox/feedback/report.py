"""Reports of servers on what was delivered, and what each says of whom.

First come delivery status notifications (RFC 3464, and RFC 6533 for addresses in
UTF-8); then reports that only people were meant to read, in the usual words of servers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..delivery import Reply
from .fate import Fate
from .incoming import Fields, IncomingMail, is_mail_system
from .status import Judgement, judged, read_reply, words_status
from .words import COPY, DELAYED, DELAYED_SUBJECT, GIVEN_UP, REPORT_SUBJECT

STATUS_PARTS = ("delivery-status", "global-delivery-status")

MOST_RECIPIENTS = 1_000
"""How many recipients of one report are read."""

_RECIPIENT = ("final-recipient", "original-recipient", "x-actual-recipient")
_utf8_octet = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
_blank_line = re.compile(r"\n[ \t]*\n")
_in_text = re.compile(r"^(?:original|final)-recipient:", re.IGNORECASE | re.M)


@dataclass(frozen=True, slots=True)
class RecipientFate:
    """What a report says of one recipient."""

    address: str | None
    """As the report names it; None if it names none."""
    judgement: Judgement
    reply: Reply | None = None


def is_report(mail: IncomingMail) -> bool:
    """Whether servers can read the mail as a report of what was delivered."""
    return mail.part(*STATUS_PARTS) is not None or (
        mail.part("disposition-notification") is None
        and _in_text.search(mail.text) is not None
    )


def read_report(mail: IncomingMail) -> list[RecipientFate]:
    """What the report says of each recipient of whom it says anything new."""
    part = mail.part(*STATUS_PARTS)
    text = part.text if part else mail.text
    blocks = _blank_line.split(text)[: MOST_RECIPIENTS + 1]
    found = (_recipient(Fields.read(one)) for one in blocks)
    return [one for one in found if one is not None]


def _recipient(fields: Fields) -> RecipientFate | None:
    if not fields.has(*_RECIPIENT):
        return None
    action = fields.first("action").partition(" ")[0].strip(";,").lower()
    status = fields.first("status").partition(" ")[0]
    words = fields.first("diagnostic-code").partition(";")
    reply = read_reply((words[2] or words[0]).strip(), status or None)
    judgement = _judgement(action, reply)
    if judgement is None:
        return None
    return RecipientFate(next(_addresses(fields), None), judgement, reply)


def _judgement(action: str, reply: Reply) -> Judgement | None:
    """*Relayed* says no more than that the next hop accepted it, and is nothing new."""
    if action in ("delivered", "expanded"):
        return Judgement(Fate.DELIVERED)
    if action == "relayed":
        return None
    if action == "delayed":
        return judged(reply, given_up=False)
    if action == "failed":
        return judged(reply, given_up=True) or Judgement(Fate.SOFT_BOUNCED)
    return judged(reply, given_up=(reply.enhanced or "").startswith("5"))


def _addresses(fields: Fields) -> Iterator[str]:
    """The recipient that we named comes before the one that the server made of it."""
    for name in ("original-recipient", *_RECIPIENT):
        kind, _, value = fields.first(name).rpartition(";")
        address = value.strip().strip("<>").strip()
        if "utf-8" in kind.lower():
            address = _utf8_octet.sub(_character, address)
        if "@" in address:
            yield address


def _character(found: re.Match[str]) -> str:
    number = int(found[1], 16)
    return chr(number) if number < 0x110000 else found[0]


TEXT_LENGTH = 20_000
"""How much of the text of a plain report is looked at, in characters."""

MOST_ADDRESSES = 100

_ADDRESS = r"[\w!#$%&'*+/=?^`{|}~.-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,10}"
_address = re.compile(rf"(?<![\w@]){_ADDRESS}", re.UNICODE)
_listed = re.compile(
    rf"^[ \t>*-]*(?:to: |recipient: |user: )?<?({_ADDRESS})>?"
    r"(?:[ \t]*[:;,(\"'-].*|[ \t]+on[ \t].*|[ \t]*)$",
    re.IGNORECASE | re.MULTILINE,
)
"""An address at the beginning of a line, as in a list of failed recipients."""


def read_plain_report(
    mail: IncomingMail, own: frozenset[str] = frozenset()
) -> list[RecipientFate]:
    """What the mail says of recipients; nothing if it is no report.

    ``own`` are addresses, in lower case, that cannot be recipients.
    """
    if not _may_be_report(mail):
        return []
    text = mail.text[:TEXT_LENGTH]
    copy = COPY.search(text)
    if copy and text[: copy.start()].strip():
        text = text[: copy.start()]
    delayed = _is_delayed(mail.subject, text)
    found = [
        RecipientFate(address, judgement, reply)
        for address, section in _sections(mail, text, own)
        if (reply := _reply(section) or (read_reply(section) if delayed else None))
        and (judgement := judged(reply, given_up=not delayed))
    ]
    if found or not (reply := _reply(text)):
        return found
    judgement = judged(reply, given_up=not delayed)
    return [RecipientFate(None, judgement, reply)] if judgement else []


def _may_be_report(mail: IncomingMail) -> bool:
    """The null sender is usual for reports, and neither required nor enough."""
    return (
        mail.by_mail_system
        or mail.header("return-path").replace(" ", "") == "<>"
        or REPORT_SUBJECT.search(mail.subject) is not None
    )


def _is_delayed(subject: str, text: str) -> bool:
    late = DELAYED.search(text) or DELAYED_SUBJECT.search(subject)
    return late is not None and GIVEN_UP.search(text) is None


def _reply(section: str) -> Reply | None:
    """The reply in a section that says why; None if it does not."""
    reply = read_reply(section)
    if reply.enhanced is None and reply.code is None and not words_status(section):
        return None
    return reply


def _sections(
    mail: IncomingMail, text: str, own: frozenset[str]
) -> list[tuple[str, str]]:
    """Each address that the report may be about, and what the text says of it."""
    failed = _address.findall(mail.header("x-failed-recipients"))
    listed = [one[1] for one in _listed.finditer(text)]
    anywhere = _address.findall(text)
    for some in (failed, listed, anywhere):
        bare = [one.strip("'").rstrip(".") for one in some]
        wanted = [one for one in bare if _may_be_recipient(one, own)]
        wanted = list({one.lower(): one for one in wanted}.values())[:MOST_ADDRESSES]
        if len(wanted) == 1:
            return [(wanted[0], _from_its_mention(text, wanted[0]))]
        if wanted:
            return _cut(text, wanted)
    return []


def _may_be_recipient(address: str, own: frozenset[str]) -> bool:
    address = address.lower()
    return address not in own and not is_mail_system(address)


def _from_its_mention(text: str, address: str) -> str:
    """What follows the address if that says why, else all of the text."""
    at = text.find(address)
    after = text[at:] if at >= 0 else text
    return after if _reply(after) is not None else text


def _cut(text: str, addresses: list[str]) -> list[tuple[str, str]]:
    places = sorted((text.find(one), one) for one in addresses if one in text)
    ends = [*(at for at, _ in places[1:]), len(text)]
    return [
        (address, text[at:end]) for (at, address), end in zip(places, ends, strict=True)
    ]
