"""Renditions: what templates came to, kept before any of it is sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, null, update

from .attachments import attach
from .cutting import cut
from .enqueue import add_events, event_row
from .hot import Hot
from .leases import HELD, fence
from .records import Claim
from .schema import attached, content, message


@dataclass(frozen=True, slots=True)
class Rendition:
    """What the template of a claimed message came to, as each attempt will send it."""

    claim: Claim
    subject: str
    content: bytes
    template: str
    version: str
    """A short hash of the sources that it was made from."""
    at: float
    seconds: float
    """How long rendering took."""


_describe = Hot(
    update(message)
    .where(HELD)
    .values(subject=bindparam("b_subject"), size_bytes=bindparam("b_size_bytes"))
)

_keep = Hot(
    update(content)
    .where(content.c.message_id == bindparam("b_id"))
    .values(body=bindparam("b_body"), attached=bindparam("b_attached"), template=null())
)


_detach = Hot(delete(attached).where(attached.c.message_id == bindparam("b_id")))


def _keep_content(connection: Connection, one: Rendition) -> None:
    body, pieces = cut(one.content)
    said = {"b_body": body, "b_attached": len(pieces)}
    _keep.run(connection, {"b_id": one.claim.id, **said})
    if one.claim.content:
        _detach.run(connection, {"b_id": one.claim.id})
    attach(connection, {one.claim.id: pieces})


def keep(connection: Connection, renditions: Iterable[Rendition]) -> list[Claim]:
    """Keep each whose lease still holds, in place of its template.

    Returns the claims that were lost.
    """
    lost = []
    for one in renditions:
        described = {"b_subject": one.subject, "b_size_bytes": len(one.content)}
        if _describe.run(connection, {**fence(one.claim), **described}) == 1:
            _keep_content(connection, one)
            told = event_row(
                one.claim.id,
                one.at,
                "rendered",
                template=one.template,
                version=one.version,
                seconds=one.seconds,
            )
            add_events.run(connection, told)
        else:
            lost.append(one.claim)
    return lost
