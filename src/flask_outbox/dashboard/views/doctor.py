"""The doctor: examines the set-up when a person asks for it."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus

from flask import abort, current_app

from ...doctor import Diagnosis, Section, examine
from ...phrases import Phrase, phrase
from ..pages import dashboard, needs, page, runtime
from ..roles import Role

LONGEST_SECONDS = 20.0
"""How long servers and the DNS are waited for: web servers end a request that takes
much longer."""

TITLES: Mapping[str, Phrase] = {
    "configuration": phrase("Configuration"),
    "database": phrase("Database"),
    "transport": phrase("Transports"),
    "domain": phrase("From domains"),
}
"""The subjects of sections, in the order in which they are shown."""

_examining = threading.Lock()
"""Held while this process examines: once is enough, and each takes a thread."""


@dashboard.get("/doctor")
@needs(Role.OPERATE)
def doctor() -> str:
    """What would be examined, and the button that does it."""
    return page("doctor.html", seconds=LONGEST_SECONDS)


@dashboard.post("/doctor")
@needs(Role.OPERATE)
def examine_now() -> str:
    """Examine everything, and show what was found. Nothing is stored."""
    if not _examining.acquire(blocking=False):
        abort(
            HTTPStatus.CONFLICT,
            phrase("The doctor is at work: try again in a moment."),
        )
    try:
        diagnosis = examine(
            runtime(),
            current_app.config,
            os.environ,
            developing=current_app.debug or current_app.testing,
            longest_seconds=LONGEST_SECONDS,
        )
    finally:
        _examining.release()
    return page(
        "diagnosis.html",
        seconds=LONGEST_SECONDS,
        diagnosis=diagnosis,
        number=sum(1 for _ in diagnosis.findings),
        groups=_groups(diagnosis),
        now=datetime.fromtimestamp(runtime().outbox.clock(), UTC),
    )


def _groups(diagnosis: Diagnosis) -> list[tuple[Phrase, list[Section]]]:
    """The sections of each subject, below its title."""
    found = (
        (title, [one for one in diagnosis.sections if one.subject == subject])
        for subject, title in TITLES.items()
    )
    return [(title, sections) for title, sections in found if sections]
