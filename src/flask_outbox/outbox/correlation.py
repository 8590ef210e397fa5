"""Which message, and which of its recipients, a report is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select

from ..delivery import State
from ..erased_address import is_erased_recipient
from ..message import comparable
from .ids import is_id
from .received import Received
from .schema import message, provider_id, recipient
from .statements import RowsQuery


class FoundMessage(NamedTuple):
    """What is asked of a message that reports are about."""

    id: str
    state: str
    tag: str | None
    rfc_message_id: str
    enqueued_at: float


class ReportedRecipient(NamedTuple):
    """A recipient, and what was reported of the mail to them."""

    message_id: str
    address: str
    fate: str | None
    fate_at: float | None
    fate_text: str | None


class _Given(NamedTuple):
    """An id that a provider gave a message for one recipient."""

    provider_id: str
    provider: str
    message_id: str
    address: str


@dataclass(frozen=True, slots=True)
class Match:
    """The message that a report is about, and its recipients whom it concerns."""

    message: FoundMessage
    recipients: Sequence[ReportedRecipient]
    """None of them, where the report names somebody else."""
    erased: bool
    """Whether the data of one of its recipients were erased: perhaps of whom the report
    names."""


_GIVEN = RowsQuery(
    select(*provider_id.c["provider_id", "provider", "message_id", "address"]).where(
        provider_id.c.provider_id.in_(bindparam("ids", expanding=True))
    )
)

_MESSAGES = RowsQuery(
    select(*message.c["id", "state", "tag", "rfc_message_id", "enqueued_at"])
    .where(message.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(message.c.id)
    .with_for_update()
)

_RECIPIENTS = RowsQuery(
    select(*recipient.c["message_id", "address", "fate", "fate_at", "fate_text"])
    .where(recipient.c.message_id.in_(bindparam("ids", expanding=True)))
    .order_by(recipient.c.message_id, recipient.c.position)
)


def matches(connection: Connection, reports: Sequence[Received]) -> dict[str, Match]:
    """The match of each report whose message is here, by the report's id.

    These messages are locked. The outbox's own id counts before the provider's, and
    that before the Message-ID header. A message that is moving is not here.
    """
    given = _given(connection, reports)
    ids = {one.message_id for some in given.values() for one in some}
    ids |= {one.named_id for one in reports if one.named_id}
    ids |= {own for one in reports if (own := _own_id(one.rfc_message_id))}
    found = {
        one.id: one
        for one in map(FoundMessage._make, _MESSAGES.run(connection, sorted(ids)))
        if one.state != State.MOVING
    }
    recipients: dict[str, list[ReportedRecipient]] = {one: [] for one in found}
    for row in _RECIPIENTS.run(connection, sorted(found)):
        one = ReportedRecipient._make(row)
        recipients[one.message_id].append(one)
    return {
        one.id: _match(one, its, recipients[its.id], given)
        for one in reports
        if (its := _message_of(one, found, given))
    }


def _given(
    connection: Connection, reports: Sequence[Received]
) -> Mapping[tuple[str, str], Sequence[_Given]]:
    """What is known of the providers' ids that the reports name."""
    ids = {one.provider_id for one in reports if one.provider_id}
    found: dict[tuple[str, str], list[_Given]] = {}
    for one in map(_Given._make, _GIVEN.run(connection, sorted(ids))):
        found.setdefault((one.provider, one.provider_id), []).append(one)
    return found


def _own_id(rfc_message_id: str | None) -> str | None:
    """The outbox's id in a Message-ID header that it made."""
    own = (rfc_message_id or "").strip("<>").partition("@")[0]
    return own if is_id(own) else None


def _message_of(
    report: Received,
    found: Mapping[str, FoundMessage],
    given: Mapping[tuple[str, str], Sequence[_Given]],
) -> FoundMessage | None:
    if report.named_id and report.named_id in found:
        return found[report.named_id]
    by_provider = _only(report, _ids_of(report, given))
    if by_provider in found:
        return found[by_provider]
    own = found.get(_own_id(report.rfc_message_id) or "")
    return own if own and own.rfc_message_id == report.rfc_message_id else None


def _ids_of(
    report: Received, given: Mapping[tuple[str, str], Sequence[_Given]]
) -> Sequence[_Given]:
    return given.get((report.source, report.provider_id or ""), ())


def _only(report: Received, given: Sequence[_Given]) -> str:
    """The one message that the provider's id means for that address; else "".

    A provider may give all messages of one call the same id.
    """
    theirs = {
        one.message_id for one in given if comparable(one.address) == report.address
    }
    of_all = theirs or {one.message_id for one in given}
    return of_all.pop() if len(of_all) == 1 else ""


def _match(
    report: Received,
    its: FoundMessage,
    recipients: Sequence[ReportedRecipient],
    given: Mapping[tuple[str, str], Sequence[_Given]],
) -> Match:
    present = [one for one in recipients if not is_erased_recipient(one.address)]
    return Match(
        its,
        _concerned(report, its.id, present, given),
        erased=len(present) < len(recipients),
    )


def _concerned(
    report: Received,
    message_id: str,
    recipients: Iterable[ReportedRecipient],
    given: Mapping[tuple[str, str], Sequence[_Given]],
) -> list[ReportedRecipient]:
    """The recipients whom a report names; without a name, those to whom the provider
    gave that id, or else all.
    """
    if report.address is not None:
        return [one for one in recipients if comparable(one.address) == report.address]
    named = {
        one.address for one in _ids_of(report, given) if one.message_id == message_id
    }
    return [one for one in recipients if not named or one.address in named]
