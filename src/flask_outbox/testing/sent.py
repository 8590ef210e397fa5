"""Sent: one message that the app under test has handed over."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flask import Flask

from ..delivery import Outcome, Report, State
from ..outbox.records import MessageRecord
from .reading import Reading

_KEPT_BACK = (State.SUPPRESSED, State.CANCELLED)
_CANCELS = ("stopped", "cancelled", "dropped")


class SentMessage(Reading):
    """A message as it stood when it was looked at; `Reading` says what is in it.

    ``app`` is the app that handed it over. ``record`` is what ``mail.get`` answers,
    with the whole story, and ``report`` what ``mail.send_now`` answered: one of the two
    is None. What a courier has still to render (``render="later"``) is rendered when
    its text is asked for, which may raise `TemplateError`.
    """

    def __init__(
        self,
        app: Flask,
        read: Callable[[], bytes],
        record: MessageRecord | None = None,
        report: Report | None = None,
    ) -> None:
        super().__init__(read)
        self.app = app
        self.record = record
        self.report = report
        who = _of_record(record) if record else _of_report(report)
        self.recipients: tuple[str, ...] = tuple(
            address for address, why in who.items() if why is None
        )
        """Who gets it, Cc and Bcc too: the envelope without whom it is kept from."""
        self.kept_from: Mapping[str, str] = {
            address: why for address, why in who.items() if why is not None
        }
        """Who does not get it, and why: suppressed, or cancelled."""

    @property
    def id(self) -> str | None:
        """Its id in the outbox, as in the receipt; None for one of ``send_now``."""
        return self.record.id if self.record else None

    @property
    def state(self) -> State:
        """Where it stands; what ``send_now`` was refused for anyone is *failed*."""
        if self.record:
            return self.record.state
        accepted = self.report is not None and self.report.accepted
        return State.SENT if accepted else State.FAILED

    @property
    def tag(self) -> str | None:
        """The label that it was sent with."""
        return self.record.tag if self.record else None

    def __repr__(self) -> str:
        to = ", ".join(self.recipients) or "nobody"
        return f"<SentMessage {self.subject!r} to {to}, {self.state}>"


def _of_record(record: MessageRecord) -> dict[str, str | None]:
    """Each address, and why it gets nothing; None for those who do."""
    cancelled = _why_cancelled(record)
    return {
        one.address: str(one.reply or cancelled) if one.state in _KEPT_BACK else None
        for one in record.recipients
    }


def _why_cancelled(record: MessageRecord) -> str:
    """What its story says of that."""
    for event in reversed(record.events):
        if event.kind in _CANCELS:
            return f"{event.what}: {event.output}" if event.output else event.what
    return State.CANCELLED


def _of_report(report: Report | None) -> dict[str, str | None]:
    return {
        address: str(one.reply) if one.outcome is Outcome.SUPPRESSED else None
        for address, one in (report.recipients.items() if report else ())
    }
