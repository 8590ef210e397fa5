"""Suppression by itself: what is reported or refused puts addresses on the list.

An address is suppressed only for what is known to be about it alone. What was reported
before somebody removed a suppression does not bring it back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, delete, select

from ..delivery import Reply, State, storable
from ..erased_address import ErasedAddresses
from ..errors import MessageError
from ..feedback import Fate
from ..feedback.rules import BOUNCES, COMPLAINTS, REFUSALS, SOFT_BOUNCES, FeedbackRules
from ..humanize import counted
from ..message import check_label, comparable
from ..recipient_guard import Guard
from . import suppressions
from .claim import Record
from .read import moment
from .received import Received, in_parts
from .records import Claim, SuppressedListed, Suppression
from .schema import feedback, pardon, suppression
from .sealed import all_forms, query
from .suppressions import EVERYTHING

NO_SUCH_ADDRESS = frozenset({"5.1.1", "5.1.6", "5.1.10"})
"""The enhanced status codes that say that an address itself takes no mail: there is no
such mailbox, it has moved away (RFC 3463 section 3.2), or its domain takes no mail at
all (RFC 7505). Not 5.1.2: a domain that is not found may be a relay's trouble."""


class _Follows(NamedTuple):
    """What follows from a fate by itself."""

    ground: str | None
    """Which of `GROUNDS` it is; None is always one."""
    source: str
    said: str


_FOLLOWS = {
    Fate.BOUNCED: _Follows(BOUNCES, "bounce", "bounced"),
    Fate.COMPLAINED: _Follows(COMPLAINTS, "complaint", "complained"),
    Fate.UNSUBSCRIBED: _Follows(None, "unsubscribe", "unsubscribed"),
}

Pardons = Mapping[tuple[str, str], float]
"""Address and list → when it was last taken off it."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A report that was applied to recipients of a message with ``tag``."""

    report: Received
    message_id: str
    tag: str | None
    addresses: Sequence[str]
    """As `comparable` writes them."""


# What is reported


def suppress_reported(
    connection: Connection,
    applied: Sequence[Applied],
    rules: FeedbackRules,
    now: float,
    erased: ErasedAddresses,
) -> list[Suppression]:
    """Suppress the addresses of which such things were reported; those that are new."""
    certain = [one for one in applied if len(one.addresses) == 1]
    wanted = [entry for one in certain if (entry := _wanted(one, rules, now))]
    soft = _soft_addresses(connection, certain, rules, erased)
    if not wanted and not soft:
        return []
    addresses = {one.address for one, _ in wanted} | soft
    pardons = _pardons(connection, addresses)
    entries = [
        entry
        for entry, received_at in wanted
        if not _is_pardoned(pardons, entry.address, entry.list, received_at)
    ]
    if soft:
        entries += _weigh_soft_bounces(connection, soft, pardons, rules, now, erased)
    return suppressions.add_new(connection, entries, erased)


def _wanted(
    one: Applied, rules: FeedbackRules, now: float
) -> tuple[Suppression, float] | None:
    """The suppression that a report asks for by itself, and when that was received."""
    report, list_ = one.report, _list_of(one)
    follows = _FOLLOWS.get(report.fate)
    if follows is None or report.operator or list_ is None:
        return None
    if follows.ground is not None and follows.ground not in rules.suppress_for:
        return None
    evidence = _evidence(
        report.fate,
        report.at,
        report.words,
        source=report.source,
        event_id=report.event_id,
        message_id=one.message_id,
    )
    entry = _suppression(
        one.addresses[0],
        list_,
        follows.said,
        report.words,
        follows.source,
        now,
        evidence,
    )
    return entry, report.received_at


def _list_of(one: Applied) -> str | None:
    """The list that the address is suppressed on; None if it is not known."""
    if one.report.fate is not Fate.UNSUBSCRIBED:
        return EVERYTHING
    list_: Any = one.tag or one.report.detail.get("list")
    try:
        check_label("list", list_)
    except MessageError:  # somebody else's word for a list is none of ours
        return None
    return str(list_)


def _suppression(
    address: str,
    list_: str,
    said: str,
    words: str | None,
    source: str,
    at: float,
    evidence: Mapping[str, Any],
) -> Suppression:
    """``address`` is as `comparable` writes it, and not parsed: mail went to it."""
    reason = storable(f"{said}: {words}" if words else said)
    return Suppression(address, list_, reason, source, moment(at), evidence)


def _evidence(fate: str, at: float, words: str | None, **others: Any) -> dict[str, Any]:
    evidence = {"fate": str(fate), **others, "at": at}
    return evidence | ({"words": words} if words else {})


def _pardons(connection: Connection, addresses: Iterable[str]) -> Pardons:
    return {
        (row.address, row.list): row.at
        for some in in_parts(addresses)
        for row in query(
            connection,
            select(pardon).where(
                pardon.c.address.in_(all_forms(connection, pardon.c.address, some))
            ),
        )
    }


def _is_pardoned(
    pardons: Pardons, address: str, list_: str, received_at: float
) -> bool:
    return received_at <= pardons.get((address, list_), -1.0)


# Soft bounces

_WEIGHED = (Fate.SOFT_BOUNCED, Fate.DELIVERED, Fate.BOUNCED, Fate.COMPLAINED)


def _soft_addresses(
    connection: Connection,
    applied: Sequence[Applied],
    rules: FeedbackRules,
    erased: ErasedAddresses,
) -> set[str]:
    """The addresses whose soft bounces are to be counted again.

    A delivery that is reported late may be one between those that suppressed.
    """
    if SOFT_BOUNCES not in rules.suppress_for:
        return set()
    bounced, delivered = (
        {
            one.addresses[0]
            for one in applied
            if one.report.fate is fate and not one.report.operator
        }
        for fate in (Fate.SOFT_BOUNCED, Fate.DELIVERED)
    )
    if delivered:
        found = suppressions.find(connection, delivered, erased)
        bounced |= {
            address for address, some in found.items() if any(map(_is_soft, some))
        }
    return bounced


def _is_soft(entry: Suppression) -> bool:
    """Whether soft bounces are why this address is suppressed."""
    evidence = entry.evidence or {}
    return evidence.get("fate") == Fate.SOFT_BOUNCED and entry.list == EVERYTHING


def _weigh_soft_bounces(
    connection: Connection,
    addresses: Collection[str],
    pardons: Pardons,
    rules: FeedbackRules,
    now: float,
    erased: ErasedAddresses,
) -> list[Suppression]:
    """The suppressions for soft bounces; ends those that no longer have a ground."""
    entries = []
    groundless = []
    for address, rows in _weighed(connection, addresses, pardons).items():
        if run := _run(rows, rules):
            entries.append(_soft_entry(run, rules, now))
        elif not any(_is_ground(row, rules) for row in rows):
            groundless.append(address)
    if groundless:
        found = suppressions.find(connection, groundless, erased)
        ended = [one for some in found.values() for one in some if _is_soft(one)]
        for some in in_parts(one.address for one in ended):
            connection.execute(
                delete(suppression).where(
                    suppression.c.address.in_(
                        all_forms(connection, suppression.c.address, some)
                    ),
                    suppression.c.list == EVERYTHING,
                )
            )
    return entries


def _is_ground(row: Row[Any], rules: FeedbackRules) -> bool:
    """Whether a report suppresses its address for all mail by itself."""
    follows = _FOLLOWS.get(Fate(row.fate))
    return follows is not None and follows.ground in rules.suppress_for


def _weighed(
    connection: Connection, addresses: Collection[str], pardons: Pardons
) -> dict[str, list[Row[Any]]]:
    """What was reported of each address and is not pardoned, in the order of events."""
    weighed: dict[str, list[Row[Any]]] = {one: [] for one in addresses}
    for some in in_parts(addresses):
        rows = query(
            connection,
            select(feedback).where(
                feedback.c.address.in_(all_forms(connection, feedback.c.address, some)),
                feedback.c.fate.in_([one.value for one in _WEIGHED]),
                feedback.c.message_id.is_not(None),
                feedback.c.operator == 0,
            ),
        )
        for row in rows:
            if not _is_pardoned(pardons, row.address, EVERYTHING, row.received_at):
                weighed[row.address].append(row)
    for one in weighed.values():
        one.sort(key=lambda row: (row.at, Fate(row.fate).rank, row.event_id))
    return weighed


def _run(rows: Sequence[Row[Any]], rules: FeedbackRules) -> Sequence[Row[Any]]:
    """The first soft bounces that are enough, with no delivery between; none if none
    are.
    """
    run: list[Row[Any]] = []
    for row in rows:
        if row.fate == Fate.DELIVERED:
            run = []
        elif row.fate == Fate.SOFT_BOUNCED:
            run = [*run, row][-rules.soft_bounce_count :]
            within = row.at - run[0].at <= rules.soft_bounce_seconds
            if len(run) == rules.soft_bounce_count and within:
                return run
    return ()


def _soft_entry(
    run: Sequence[Row[Any]], rules: FeedbackRules, now: float
) -> Suppression:
    last = run[-1]
    said = (
        f"{counted(len(run), 'soft bounce')} within "
        f"{counted(rules.soft_bounce_days, 'day')}"
    )
    evidence = _evidence(
        last.fate,
        last.at,
        last.words,
        source=last.source,
        event_id=last.event_id,
        message_id=last.message_id,
        reports=len(run),
    )
    return _suppression(
        last.address, EVERYTHING, said, last.words, "bounce", now, evidence
    )


# What a provider lists


def suppress_listed(
    connection: Connection,
    entries: Sequence[Suppression],
    erased: ErasedAddresses,
    *,
    dry_run: bool,
) -> SuppressedListed:
    """Suppress what a provider lists, unless it was listed before somebody removed it
    here. A dry run only says what would be suppressed.

    The evidence says since when it is listed; what does not is as old as can be.
    """
    missing = suppressions.absent(connection, entries, erased)
    pardons = _pardons(connection, {one.address for one in missing})
    wanted = [
        one
        for one in missing
        if not _is_pardoned(pardons, one.address, one.list, _listed_at(one))
    ]
    added = wanted if dry_run else suppressions.add_new(connection, wanted, erased)
    return SuppressedListed(
        added, len(entries) - len(missing), len(missing) - len(wanted)
    )


def _listed_at(entry: Suppression) -> float:
    at: float = (entry.evidence or {}).get("at", 0.0)
    return at


# What the next hop refuses


def refused(
    records: Iterable[Record], rules: FeedbackRules, guard: Guard
) -> list[tuple[Record, Suppression]]:
    """The suppressions of addresses that a server has refused as not existing.

    A reply that several recipients share may be one to the content, and mail that went
    to another address says nothing about its recipient.
    """
    if REFUSALS not in rules.suppress_for:
        return []
    return [
        (record, _refused(record, address, reply))
        for record in records
        if record.verdict.state is not State.SENT
        for address, reply in _replies_of_their_own(record)
        if reply.enhanced in NO_SUCH_ADDRESS and not guard.redirected([address])
    ]


def suppress_refused(
    connection: Connection,
    refused: Sequence[tuple[Record, Suppression]],
    lost: Sequence[Claim],
    erased: ErasedAddresses,
) -> list[Suppression]:
    """Suppress what was `refused`, unless the lease was lost; those that are new."""
    if not refused:
        return []
    unrecorded = {id(one) for one in lost}
    return suppressions.add_new(
        connection,
        [entry for record, entry in refused if id(record.claim) not in unrecorded],
        erased,
    )


def _replies_of_their_own(record: Record) -> list[tuple[str, Reply]]:
    refusals = [
        (address, reply)
        for address, (state, reply) in record.verdict.recipients.items()
        if state is State.FAILED and reply.code is not None and reply.code >= 500
    ]
    same = Counter(reply for _, reply in refusals)
    return [(address, reply) for address, reply in refusals if same[reply] == 1]


def _refused(record: Record, address: str, reply: Reply) -> Suppression:
    evidence = _evidence("refused", record.at, str(reply), message_id=record.claim.id)
    return _suppression(
        comparable(address),
        EVERYTHING,
        "refused",
        str(reply),
        "refusal",
        record.at,
        evidence,
    )
