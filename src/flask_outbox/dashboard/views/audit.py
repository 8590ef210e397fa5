"""The audit trail: who did what."""

from __future__ import annotations

from flask import request

from ...outbox import is_id
from ...outbox.records import Act, AuditSearch, audit_target
from ..pages import dashboard, needs, page, runtime
from ..roles import Role

ROWS = 50
"""How many lines are on one page."""

FIELDS = ("actor", "act", "target")
"""The fields of the search form."""


@dashboard.get("/audit")
@needs(Role.READ)
def audit_trail() -> str:
    """The newest lines of the audit trail that match the search."""
    given = {name: request.args.get(name, "").strip() for name in FIELDS}
    act, before = given["act"], request.args.get("before", "")
    wanted = AuditSearch(
        target=_target(given["target"]) or None,
        actor=given["actor"] or None,
        act=Act(act) if act in list(Act) else None,
        before=before if is_id(before) else None,
    )
    return page(
        "audit.html",
        found=runtime().outbox.trail.find(wanted, ROWS),
        given=given,
        acts=list(Act),
    )


def _target(text: str) -> str:
    """What the trail calls what a person typed; an id may be in lower case."""
    return text.upper() if is_id(text.upper()) else audit_target(text)
