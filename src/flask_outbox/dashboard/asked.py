"""Asked: what a person typed into the search, as the outbox searches for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ..outbox.searches import Search, Tab

FIELDS = ("q", "is", "tag", "batch", "lane", "since", "until")
"""What the search asks for, by the names in its form."""

_ID = re.compile(r"0[0-9A-HJKMNP-TV-Z]{4,25}", re.IGNORECASE)
"""An id, or enough of its beginning to be no word."""


def search_for(asked: Mapping[str, str]) -> Search:
    """The search that a query string asks for; what cannot be meant asks for nothing.

    ``q`` is an address (``ada@example.org``, ``ada@*``), a Message-ID, an id or its
    beginning, or else a part of the subject. ``is`` is a `Tab`.
    """
    tab = tab_of(asked)
    return Search(
        state=tab.state if tab else None,
        due=tab.due if tab else None,
        tag=asked.get("tag", "").strip() or None,
        batch=asked.get("batch", "").strip().upper() or None,
        lane=asked.get("lane", "").strip() or None,
        since=_time(asked.get("since", "")),
        until=_time(asked.get("until", "")),
        **_words(asked.get("q", "").strip()),
    )


def filters(asked: Mapping[str, str]) -> dict[str, str]:
    """What was filled in of the search, in characters that every database takes."""
    found = {name: _printable(asked.get(name, "")) for name in FIELDS}
    return {name: value for name, value in found.items() if value}


def tab_of(asked: Mapping[str, str]) -> Tab | None:
    """The tab that is asked for; None for all."""
    word = asked.get("is", "")
    return Tab(word) if word in list(Tab) else None


def _printable(text: str) -> str:
    return "".join(one for one in text if one.isprintable())


def _words(words: str) -> dict[str, Any]:
    if not words:
        return {}
    if words.startswith("<"):
        return {"message_id": words}
    if "@" in words or words.endswith("*"):
        return {"address": words}
    return {"id" if _ID.fullmatch(words) else "subject": words}


def _time(text: str) -> datetime | None:
    """A time as a browser's field has it, which is UTC here as everywhere."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return None
