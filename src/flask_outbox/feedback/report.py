"""Delivery status notifications: RFC 3464, and RFC 6533 for addresses in UTF-8."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..delivery import Reply
from .fate import Fate
from .incoming import Fields, IncomingMail
from .status import Judgement, judged, read_reply

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
