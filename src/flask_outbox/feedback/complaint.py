"""Complaints: the Abuse Reporting Format (RFC 5965), as feedback loops send it."""

from __future__ import annotations

from .fate import Fate
from .incoming import Fields, IncomingMail

FATES = {
    "abuse": Fate.COMPLAINED,
    "fraud": Fate.COMPLAINED,
    "opt-out": Fate.UNSUBSCRIBED,
    "opt-out-list": Fate.UNSUBSCRIBED,
}
"""By the type of the feedback. The others are no word of the recipient against the
mail: ``not-spam``, ``auth-failure`` (RFC 6591), ``virus``, ``other``.
"""

MOST_RECIPIENTS = 100


def is_complaint(mail: IncomingMail) -> bool:
    """Whether the mail is a report of feedback."""
    return (
        mail.report_type == "feedback-report"
        or mail.part("feedback-report") is not None
        or mail.returned.has(_HOTMAIL)
    )


_HOTMAIL = "X-HmXmrOriginalRecipient"
"""In place of a report, Microsoft's programme returns the mail with this header."""


class Complaint:
    """A complaint: what it is about, and who made it."""

    def __init__(self, mail: IncomingMail) -> None:
        part = mail.part("feedback-report")
        self._fields = Fields.read(part.text if part else "")
        self._mail = mail
        self.kind: str = (self._fields.first("feedback-type") or "abuse").lower()
        """Such as ``abuse``."""
        if part is None and not mail.returned.has(_HOTMAIL):
            self.kind = "other"

    @property
    def fate(self) -> Fate | None:
        """None if it says nothing against the mail."""
        return FATES.get(self.kind)

    @property
    def addresses(self) -> list[str | None]:
        """Who complained; one None if that is kept secret."""
        named = self._fields.all("original-rcpt-to")
        named += self._mail.returned.all(_HOTMAIL)
        bare = [one.strip().strip("<>") for one in named[:MOST_RECIPIENTS]]
        return [*dict.fromkeys(one for one in bare if "@" in one)] or [None]

    @property
    def user_agent(self) -> str:
        """The program that reports it."""
        return self._fields.first("user-agent")
