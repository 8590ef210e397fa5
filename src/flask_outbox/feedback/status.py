"""What a status and a server's words say of a mail that came back (RFC 3463).

The status decides where it is definite. Many servers send an indefinite one, as 5.0.0,
with words that are clear, so these are known here too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..delivery import Reply, storable
from .fate import Fate
from .words import MEANINGS

_enhanced = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.]*\d)")
_code = re.compile(r"(?<![\d.:/+-])(421|4[57]\d|50[1-4]|5[2357]\d)(?=[ \n-]|$)")

LONGEST_WORDS = 2_000
"""How many characters of a server's words are looked at."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of a mail to one recipient, and whether the sender is at fault."""

    fate: Fate
    operator: bool = False


def words_status(words: str) -> str | None:
    """The status that a server's words mean; None for words that are not known."""
    words = words[:LONGEST_WORDS]
    return next((status for status, known in MEANINGS if known.search(words)), None)


def read_reply(words: str, status: str | None = None) -> Reply:
    """The reply in a server's words; a definite ``status`` from elsewhere counts."""
    words = " ".join(words[:LONGEST_WORDS].split())
    code = _code.search(words)
    enhanced = _enhanced.search(words)
    said = enhanced[1] if enhanced else None
    if status is None or (_is_indefinite(status) and said):
        status = said
    text = words
    if code and words.startswith(code[0]):
        text = words[code.end() :].lstrip(" -")
        if said and text.startswith(said):
            text = text[len(said) :].strip()
    return Reply(int(code[1]) if code else None, status, storable(text))


def judged(reply: Reply, *, given_up: bool) -> Judgement | None:
    """What ``reply`` means for a mail that came back, or if not ``given_up`` is late.

    None if it says that all is well.
    """
    if (reply.enhanced or "").startswith("2"):
        return None
    status = _definite_status(reply)
    about = status.partition(".")[2]
    subject = about.partition(".")[0]
    operator = (subject in _OPERATOR and about not in _NOT_OPERATOR) or about in _SENDER
    if not given_up:
        return Judgement(Fate.DELAYED, operator)
    if status.startswith("4") or _is_passing(reply):
        return Judgement(Fate.SOFT_BOUNCED, operator)
    if operator or about in _DEAD or (subject == "1" and about not in _ALIVE):
        return Judgement(Fate.BOUNCED, operator)
    return Judgement(Fate.SOFT_BOUNCED)


_OPERATOR = {"3", "5", "6", "7"}
"""Mail system, protocol, content, policy: nothing that the address is to blame for."""

_SENDER = {"1.7", "1.8"}
"""The sender's own address is faulty."""

_NOT_OPERATOR = {"5.3", "7.17", "7.18"}
"""Too many recipients; the address belongs to somebody else by now (RFC 7293)."""

_DEAD = {"2.1", "4.4", "7.17", "7.18"}
"""Mailbox disabled, host cannot be routed to, another owner."""

_ALIVE = {"1.9"}
"""The next server sends no reports, for which the address is not to blame."""

_MISUSED = {"5.4.1", "5.4.300", "5.4.310"}
"""Definite statuses that a large provider gives for various reasons."""

_BY_CODE = {550: "5.1.1", 551: "5.1.6", 552: "5.2.2", 553: "5.1.3"}
"""What codes mean where nothing else is known (RFC 5321 section 4.2.2)."""


def _definite_status(reply: Reply) -> str:
    """The reply's own status if it is definite; else what words or code mean."""
    status = reply.enhanced
    if status is not None and not _is_indefinite(status):
        return status
    known = words_status(reply.text)
    if known is not None:
        return known
    if status is not None and not status.endswith(".0.0"):
        return status
    return _BY_CODE.get(reply.code or 0) or status or "5.0.0"


def _is_indefinite(status: str) -> bool:
    return status.endswith(".0") or status in _MISUSED


def _is_passing(reply: Reply) -> bool:
    """Whether the server itself said that trying again may help."""
    if reply.enhanced is not None:
        return reply.enhanced.startswith("4")
    return reply.code is not None and reply.code < 500
