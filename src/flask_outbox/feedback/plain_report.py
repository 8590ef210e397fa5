"""Reports that only people were meant to read, in the usual words of mail servers."""

from __future__ import annotations

import re

from ..delivery import Reply
from .incoming import IncomingMail, is_mail_system
from .report import RecipientFate
from .status import judged, read_reply, words_status
from .words import COPY, DELAYED, DELAYED_SUBJECT, GIVEN_UP, REPORT_SUBJECT

TEXT_LENGTH = 20_000
"""How much of the text is looked at, in characters."""

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
