"""What reports change: recipients' fates, the histories of messages, suppressions."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from ..erased_address import ErasedAddresses
from ..errors import EventsRefused
from ..events import EventKind
from ..feedback import Fate
from ..feedback.provider import OneTimeToken
from ..feedback.rules import FeedbackRules
from ..message import comparable
from . import received
from .auto_suppress import Applied, suppress_reported
from .correlation import Match, ReportedRecipient, matches
from .enqueue import add_events, event_row
from .read import fate_of, moment
from .received import Received
from .records import FateReport, FeedbackTaken, Suppression, TakenReport, Taking
from .schema import recipient
from .statements import Row, RowsUpdate

MATCHED_AT_ONCE = 500
"""The most reports that one transaction looks at again."""

_write_fates = RowsUpdate(
    recipient,
    keys=("message_id", "address"),
    values=("fate", "fate_at", "fate_text"),
)


def take(
    connection: Connection,
    reports: Sequence[Received],
    token: OneTimeToken | None,
    rules: FeedbackRules,
    now: float,
    erased: ErasedAddresses,
) -> FeedbackTaken:
    """Store ``reports``, and what follows from those that are new."""
    if token is not None and not received.use_token(connection, token, now):
        raise EventsRefused(406, "the token was used for other events before")
    first: dict[tuple[str, str], Received] = {}
    for one in reports:
        first.setdefault(one.key, one)
    allowed = [one for one in first.values() if rules.may_take(one.fate)]
    new = received.store(connection, allowed)
    application = Application(connection, rules, now, erased)
    application.apply([one for one in allowed if one.id in new])
    repeated = {one.id for one in reports} - {one.id for one in first.values()}
    return FeedbackTaken(
        tuple(application.result(one, again=one.id in repeated) for one in reports),
        tuple(application.suppressed),
    )


def match(
    connection: Connection, rules: FeedbackRules, now: float, erased: ErasedAddresses
) -> FeedbackTaken:
    """Apply the next reports whose message is to be looked for, if it is here now."""
    reports = received.to_match(connection, now, MATCHED_AT_ONCE)
    application = Application(connection, rules, now, erased)
    application.apply(reports)
    received.settle(
        connection,
        [
            received.kept_row(one, received.next_look(one, now))
            for one in reports
            if application.result(one).taking is Taking.UNMATCHED
        ],
    )
    return FeedbackTaken(
        tuple(application.result(one) for one in reports),
        tuple(application.suppressed),
    )


class Application:
    """One transaction's application of stored reports to messages."""

    def __init__(
        self,
        connection: Connection,
        rules: FeedbackRules,
        now: float,
        erased: ErasedAddresses,
    ) -> None:
        self.suppressed: Sequence[Suppression] = ()
        """Who is suppressed for it and was not before."""
        self._connection = connection
        self._rules = rules
        self._now = now
        self._erased = erased
        self._results: dict[str, TakenReport] = {}
        self._fates: dict[tuple[str, str], ReportedRecipient] = {}
        self._written: set[tuple[str, str]] = set()
        self._settled: list[Row] = []
        self._events: list[Row] = []

    def apply(self, reports: Sequence[Received]) -> None:
        """Apply ``reports``, one after another, and write what that changes."""
        if not reports:
            return
        found = matches(self._connection, reports)
        applied: list[Applied] = []
        unwanted: list[Received] = []
        for one in reports:
            its = found.get(one.id)
            if its is None:
                self._results[one.id] = _came_to(one, Taking.UNMATCHED)
            elif not self._rules.takes(one.fate, its.message.tag):
                self._results[one.id] = _came_to(one, Taking.IGNORED)
                unwanted.append(one)
            elif not its.recipients:
                self._results[one.id] = _came_to(one, Taking.IGNORED)
                if its.erased:
                    unwanted.append(one)
                else:
                    self._settled.append(received.kept_row(one, None))
            else:
                applied.append(self._apply(one, its))
        self._write()
        received.forget(self._connection, unwanted)
        self.suppressed = suppress_reported(
            self._connection, applied, self._rules, self._now, self._erased
        )

    def result(self, one: Received, *, again: bool = False) -> TakenReport:
        """What a report came to; ``again`` if this call has it twice."""
        if not self._rules.may_take(one.fate):
            return _came_to(one, Taking.IGNORED)
        if again or one.id not in self._results:
            return _came_to(one, Taking.REPEATED)
        return self._results[one.id]

    def _apply(self, one: Received, its: Match) -> Applied:
        message_id = its.message.id
        fates = tuple(self._note(one, its, to) for to in its.recipients)
        self._results[one.id] = TakenReport(
            one.source, one.event_id, Taking.APPLIED, message_id, fates
        )
        addresses = [to.address for to in its.recipients]
        self._settled.append(received.settled_row(one, message_id, addresses))
        comparables = [comparable(address) for address in addresses]
        return Applied(one, message_id, its.message.tag, comparables)

    def _note(self, one: Received, its: Match, to: ReportedRecipient) -> FateReport:
        """Note what a report says of one recipient."""
        place = to.message_id, to.address
        to = self._fates.get(place, to)
        before = fate_of(to.fate)
        if _goes_further(one, to, before):
            to = to._replace(fate=one.fate.value, fate_at=one.at, fate_text=one.words)
            self._written.add(place)
        self._fates[place] = to
        at = min(max(one.at, its.message.enqueued_at), self._now)
        kind = EventKind(one.fate.value)
        self._events.append(
            event_row(to.message_id, at, kind, address=to.address, **one.told)
        )
        return FateReport(
            message_id=to.message_id,
            address=to.address,
            fate=one.fate,
            before=before,
            after=fate_of(to.fate) or one.fate,
            at=moment(one.at),
            reply=one.words,
            source=one.source,
            operator=one.operator,
            detail=one.detail,
        )

    def _write(self) -> None:
        _write_fates.run(
            self._connection,
            [self._fates[place]._asdict() for place in sorted(self._written)],
        )
        received.settle(self._connection, self._settled)
        add_events.run_many(self._connection, self._events)


def _goes_further(one: Received, to: ReportedRecipient, before: Fate | None) -> bool:
    """Whether a report replaces what is known: by its rank, or because it was earlier.

    Reports of the same moment are told apart by their words, so that their order never
    matters.
    """
    if before is None or to.fate_at is None:
        return True
    if one.fate is not before:
        return one.fate.rank > before.rank
    if one.at != to.fate_at:
        return one.at < to.fate_at
    return (one.words or "") < (to.fate_text or "")


def _came_to(one: Received, taking: Taking) -> TakenReport:
    return TakenReport(one.source, one.event_id, taking)
