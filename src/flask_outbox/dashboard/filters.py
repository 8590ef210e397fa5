"""The filters of the list of messages: they stack, and stand in its address."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from ..errors import ConfigError
from ..feedback import Fate
from ..outbox import is_id
from ..outbox.records import NO_PARTS, Search, Tab, audit_target
from ..phrases import Phrase, phrase, term
from . import terms

LABELS: Mapping[str, Phrase] = {
    "q": phrase("Search"),
    "to": phrase("Recipient"),
    "is": phrase("State"),
    "fate": phrase("Fate"),
    "tag": phrase("Tag"),
    "batch": phrase("Batch"),
    "lane": phrase("Lane"),
    "last": phrase("Time"),
    "since": term("time", "From"),
    "until": term("time", "Until"),
    "each": phrase("Batches"),
}
"""The fields of the search form, and what people call them."""

PRESETS: Mapping[str, tuple[Phrase, timedelta]] = {
    "1h": (phrase("last hour"), timedelta(hours=1)),
    "24h": (phrase("last 24 hours"), timedelta(hours=24)),
    "7d": (phrase("last 7 days"), timedelta(days=7)),
    "30d": (phrase("last 30 days"), timedelta(days=30)),
}
"""The values of ``last``."""

_TIMES = frozenset({"last", "since", "until"})

EACH: Phrase = phrase("message by message")
"""What ``each`` means, whose value is ``yes``."""

_ID = re.compile(r"0[0-9A-HJKMNP-TV-Z]{4,25}", re.IGNORECASE)
"""An id, or so long a prefix of one that it cannot be a word."""

Criteria = dict[str, Any]
"""Fields of a `Search`."""


@dataclass(frozen=True, slots=True)
class Chip:
    """One filter that is set, as a person may remove it."""

    label: Phrase
    text: str | Phrase
    wrong: bool
    others: Mapping[str, str]
    """The filters that stay when this one is removed."""


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters that an address asks for."""

    given: Mapping[str, str]
    """Those that are set, by the names of `LABELS`."""
    search: Search
    """What they look for; what is wrong is left out."""
    wrong: Mapping[str, str]
    """What is wrong with a field's value, in words for its reader."""

    @property
    def asked(self) -> Mapping[str, str]:
        """The value of each field, "" where it is not set."""
        return {name: self.given.get(name, "") for name in LABELS}

    @property
    def tab(self) -> Tab | None:
        """The chosen state; None for all."""
        word = self.given.get("is", "")
        return Tab(word) if word in list(Tab) else None

    @property
    def query(self) -> str:
        """It as ``OUTBOX_DASHBOARD_VIEWS`` has it."""
        return urlencode(self.given)

    @property
    def folds(self) -> bool:
        """Whether each batch is one row: where the time alone is filtered by."""
        return self.given.keys() <= _TIMES

    @property
    def note(self) -> str:
        """The search for the audit trail, without addresses and words of mail."""
        said = [
            LABELS[name]
            if name in ("q", "to")
            else f"{LABELS[name]} {audit_target(value)}"
            for name, value in self.given.items()
        ]
        return f"all that match: {', '.join(said)}" if said else "all mail"

    @property
    def chips(self) -> list[Chip]:
        """Each filter that is set."""
        return [
            Chip(
                LABELS[name],
                value if name in self.wrong else _shown(name, value),
                name in self.wrong,
                {other: kept for other, kept in self.given.items() if other != name},
            )
            for name, value in self.given.items()
        ]


def read_filters(
    asked: Mapping[str, str], now: datetime, *, encrypted: bool
) -> Filters:
    """The filters in a query string or a form, where ``last`` counts from ``now``.

    In an ``encrypted`` outbox only whole addresses can be searched for.
    """
    given, criteria, wrong = fields(asked), Criteria(), {}
    for name, value in given.items():
        try:
            more = _READERS[name](value, now)
            if encrypted and more.get("address", "").endswith("*"):
                raise ValueError(NO_PARTS)
            criteria = _together(criteria, more)
        except ValueError as error:
            wrong[name] = error.args[0]
    return Filters(given, Search(**criteria), wrong)


def refuse_wrong_views(views: Mapping[str, Mapping[str, str]]) -> None:
    """Raise `ConfigError` if a view in ``OUTBOX_DASHBOARD_VIEWS`` means nothing."""
    for name, asked in views.items():
        wrong = dict.fromkeys(asked.keys() - LABELS, "There is no such field.")
        wrong |= read_filters(asked, datetime.now(UTC), encrypted=False).wrong
        for field, why in wrong.items():
            raise ConfigError(
                f"OUTBOX_DASHBOARD_VIEWS: the field {field!r} of {name!r} is wrong. "
                f"{why} Copy what follows the ? in the address of a search."
            )


def fields(asked: Mapping[str, str]) -> dict[str, str]:
    """The fields of the search that are set, in characters that all databases take."""
    found = {name: printable(asked.get(name, "")).strip() for name in LABELS}
    return {name: value for name, value in found.items() if value}


def printable(text: str) -> str:
    """``text`` in characters that every database takes."""
    return "".join(one for one in text if one.isprintable())


_CURSOR = re.compile(r"[0-9A-HJKMNP-TV-Z]{26,27}")


def cursor(text: str) -> str | None:
    """Where a page of the list begins or ends, if ``text`` says so."""
    found = _CURSOR.fullmatch(text)
    return found[0] if found else None


def _together(before: Criteria, more: Criteria) -> Criteria:
    """Both criteria at once. Raises `ValueError` if they contradict each other."""
    if "address" in before and "address" in more:
        raise ValueError(
            phrase(
                "%(address)s is searched for already: only one recipient can be "
                "searched for.",
                address=before["address"],
            )
        )
    since = max(
        (one["since"] for one in (before, more) if "since" in one), default=None
    )
    together = {**before, **more, **({"since": since} if since else {})}
    if since and together.get("until", since) < since:
        raise ValueError(phrase("This is before the beginning of the search."))
    return together


# ---------------------------------------------------------------------------- fields


def _words(words: str, _now: datetime) -> Criteria:
    """An address (``ada@example.org``, ``ada@*``), a Message-ID, an id or its
    beginning, or else a part of the subject.
    """
    if words.startswith("<"):
        return {"rfc_message_id": words}
    if "@" in words or words.endswith("*"):
        return _recipient(words, _now)
    return {"id" if _ID.fullmatch(words) else "subject": words}


def _recipient(text: str, _now: datetime) -> Criteria:
    if text.startswith(("@", "*")):
        raise ValueError(
            phrase(
                "Addresses are found by how they begin: a domain alone cannot be "
                "searched for."
            )
        )
    return {"address": text if "@" in text or text.endswith("*") else f"{text}*"}


def _tab(word: str, _now: datetime) -> Criteria:
    if word not in list(Tab):
        raise ValueError(
            phrase(
                "No state is called %(word)s. There are %(states)s.",
                word=word,
                states=", ".join(Tab),
            )
        )
    return {"state": Tab(word).state, "due": Tab(word).due}


def _fate(word: str, _now: datetime) -> Criteria:
    if word not in list(Fate):
        raise ValueError(
            phrase(
                "No fate is called %(word)s. There are %(fates)s.",
                word=word,
                fates=", ".join(Fate),
            )
        )
    return {"fate": Fate(word)}


def _batch(text: str, _now: datetime) -> Criteria:
    if not is_id(text.upper()):
        raise ValueError(
            phrase("This is not the id of a batch, which has 26 characters.")
        )
    return {"batch": text.upper()}


def _last(word: str, now: datetime) -> Criteria:
    if word not in PRESETS:
        raise ValueError(
            phrase(
                "%(word)s is not one of %(known)s.", word=word, known=", ".join(PRESETS)
            )
        )
    return {"since": now - PRESETS[word][1]}


def _time(text: str) -> datetime:
    """A time as a browser's field has it, which is UTC here as everywhere."""
    try:
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            phrase("%(text)s is not a time such as 2026-02-14T09:30.", text=text)
        ) from None


def _each(word: str, _now: datetime) -> Criteria:
    if word != "yes":
        raise ValueError(phrase("%(word)s is not yes.", word=word))
    return {}


_READERS: Mapping[str, Callable[[str, datetime], Criteria]] = {
    "q": _words,
    "to": _recipient,
    "is": _tab,
    "fate": _fate,
    "tag": lambda text, _: {"tag": text},
    "batch": _batch,
    "lane": lambda text, _: {"lane": text},
    "last": _last,
    "since": lambda text, _: {"since": _time(text)},
    "until": lambda text, _: {"until": _time(text)},
    "each": _each,
}
"""What the value of each field means; a `ValueError` says why it means nothing."""


def _shown(name: str, value: str) -> str | Phrase:
    """A valid value as a person reads it."""
    if name == "last":
        return PRESETS[value][0]
    if name == "each":
        return EACH
    if name in ("since", "until"):
        return f"{value.replace('T', ' ')} UTC"
    if name == "fate":
        return terms.FATES[Fate(value).words]
    return terms.STATES[value] if name == "is" else value
