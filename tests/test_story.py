"""The story of a message as an execution table: each kind of event, and their order."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from flask_outbox import story
from flask_outbox.delivery import KEPT_HERE
from flask_outbox.story import Event, Stored, tell

ID = "01MESSAGE"
NINE = datetime(2030, 1, 2, 9, 0, tzinfo=UTC).timestamp()
LATER = NINE + 90
LATER_TEXT = "2030-01-02 09:01:30 UTC"
ORIGIN = {"method": "POST", "route": "/send-email", "request_id": "r-1"}

ONE_REPLY = {"ada@example.org": "250 2.0.0 kept", "bob@example.org": "250 2.0.0 kept"}
TWO_REPLIES = {
    "ada@example.org": "250 2.0.0 kept",
    "bob@example.org": "550 5.1.1 no such user",
}

TELLINGS: Mapping[str, tuple[str, Mapping[str, Any], str, str, str]] = {
    "responded": (
        "responded",
        {"response_seconds": 0.0123, "handover_seconds": 0.004, "status": 202},
        "The response went out, 12.3 ms after the request came; 4.0 ms of it the "
        "hand-over",
        "waiting",
        "status 202",
    ),
    "began": (
        "began",
        {"attempt": 2, "courier": "01C", "lane": "default"},
        "Attempt 2 began on lane default",
        "running: talking to the server",
        "",
    ),
    "sent": (
        "sent",
        {"attempt": 2, "seconds": 0.0456, "replies": ONE_REPLY},
        "The next hop accepted the mail, 45.6 ms after attempt 2 began",
        "finished",
        "Email sent! 250 2.0.0 kept",
    ),
    "sent, to the dev inbox": (
        "sent",
        {"attempt": 1, "seconds": 0.1, "replies": {"ada@example.org": str(KEPT_HERE)}},
        "It stays here, in the dev inbox",
        "finished",
        "kept in the dev inbox: nothing left this machine",
    ),
    "deferred": (
        "deferred",
        {"attempt": 2, "seconds": 1.0, "due_at": LATER, "replies": TWO_REPLIES},
        "Attempt 2 was put off",
        f"waiting until {LATER_TEXT}",
        "ada@example.org: 250 2.0.0 kept; bob@example.org: 550 5.1.1 no such user",
    ),
    "failed, as the server says": (
        "failed",
        {"attempt": 2, "replies": {"ada@example.org": "550 5.1.1 no such user"}},
        "The next hop refused the mail for good",
        "finished",
        "550 5.1.1 no such user",
    ),
    "failed, as we say": (
        "failed",
        {"attempt": 9, "replies": {}, "reason": "it was deferred for too long"},
        "Given up: it was deferred for too long",
        "finished",
        "",
    ),
    "unknown, with a wait": (
        "unknown",
        {"attempt": 1, "replies": {"ada@example.org": "lost"}, "due_at": LATER},
        "The link was lost after the final dot: the mail may have arrived",
        f"waiting until {LATER_TEXT}",
        "lost",
    ),
    "unknown, on hold": (
        "unknown",
        {"attempt": 1, "replies": {"ada@example.org": "lost"}},
        "The link was lost after the final dot: the mail may have arrived",
        "on hold for a person",
        "lost",
    ),
    "released": (
        "released",
        {"reason": "lane default is paused"},
        "The courier gave it back untried",
        "waiting",
        "lane default is paused",
    ),
    "suppressed for some": (
        "suppressed",
        {"replies": {"bob@example.org": "on the list"}, "finished": False},
        "Suppressed: bob@example.org must not be mailed",
        "waiting",
        "on the list",
    ),
    "suppressed for all": (
        "suppressed",
        {"replies": TWO_REPLIES, "finished": True},
        "Suppressed: 2 recipients must not be mailed",
        "finished",
        "ada@example.org: 250 2.0.0 kept; bob@example.org: 550 5.1.1 no such user",
    ),
    "changed": (
        "changed",
        {"by": "shop.mails.mark", "fields": ["subject", "Precedence"]},
        "shop.mails.mark changed it: subject, Precedence",
        "waiting",
        "",
    ),
    "stopped": (
        "stopped",
        {"by": "shop.mails.mark", "reason": "nothing on Sundays"},
        "shop.mails.mark stopped it",
        "finished",
        "nothing on Sundays",
    ),
    "rescued": (
        "rescued",
        {"courier": "01C", "state": "pending", "crashes": 1},
        "It was rescued from a courier that died",
        "waiting",
        "",
    ),
    "rescued, on hold": (
        "rescued",
        {"courier": "01C", "state": "unknown", "crashes": 1},
        "It was rescued from a courier that died",
        "on hold for a person",
        "",
    ),
    "rescued, as poison": (
        "rescued",
        {"courier": "01C", "state": "failed", "crashes": 3},
        "Given up as poison: 3 couriers died delivering it",
        "finished",
        "",
    ),
    "resent": (
        "resent",
        {},
        "Its wait as unknown is over: it is sent once more",
        "waiting",
        "",
    ),
    "rendered": (
        "rendered",
        {"template": "news", "seconds": 0.0123, "version": "0a1b2c"},
        "The courier rendered its template news, in 12.3 ms",
        "waiting",
        "version 0a1b2c",
    ),
    "cancelled": ("cancelled", {}, "A person cancelled it", "finished", ""),
    "cancelled with its batch": (
        "cancelled",
        {"batch": "01BATCH"},
        "A person cancelled its batch, 01BATCH",
        "finished",
        "",
    ),
    "cancelled, in favour of another": (
        "cancelled",
        {"in_favour_of": "01OTHER"},
        "Its key was handed over here too: only that other message goes out",
        "finished",
        "01OTHER",
    ),
    "retried": ("retried", {}, "A person asked for it again", "waiting", ""),
    "released by a person": (
        "let_go",
        {},
        "A person released it: it is sent once more, though it may have arrived",
        "waiting",
        "",
    ),
    "dropped": (
        "dropped",
        {},
        "A person dropped it: it may have arrived, and is not sent once more",
        "finished",
        "",
    ),
    "sent again": (
        "sent_again",
        {"again_as": "01OTHER"},
        "A person sent it again, as a new message",
        "waiting",
        "id 01OTHER",
    ),
    "moved": (
        "moved",
        {"came_from": "sqlite:////old.db"},
        "It moved here from sqlite:////old.db",
        "waiting",
        "",
    ),
    "stayed": (
        "stayed",
        {"heading_to": "sqlite:////new.db"},
        "Its move to sqlite:////new.db was called off: it stayed here",
        "waiting",
        "",
    ),
}
"""Name → kind, detail → what happened, the background work, the output."""


def enqueued(at: float = NINE, **detail: Any) -> Stored:
    return Stored(at, "enqueued", detail)


def told(
    *events: Stored, origin: Mapping[str, Any] | None = ORIGIN
) -> tuple[Event, ...]:
    return tell(ID, origin, events)


@pytest.mark.parametrize(
    ("kind", "detail", "what", "background", "output"),
    TELLINGS.values(),
    ids=TELLINGS.keys(),
)
def test_each_kind_of_event(
    kind: str, detail: Mapping[str, Any], what: str, background: str, output: str
) -> None:
    _, row = told(enqueued(), Stored(NINE + 1, kind, detail))

    assert (row.what, row.background, row.output) == (what, background, output)
    assert (row.step, row.kind, row.detail) == (2, kind, detail)
    assert row.at == datetime(2030, 1, 2, 9, 0, 1, tzinfo=UTC)


def test_no_kind_is_left_out() -> None:
    assert {kind for kind, *_ in TELLINGS.values()} == set(story._TELLINGS)


# ------------------------------------------------------------------------ the hand-over


def test_a_request_hands_it_over() -> None:
    (row,) = told(enqueued(recipients=1))

    assert row.step == 1
    assert row.what == "POST /send-email (request r-1) handed the message over"
    assert (row.background, row.request) == ("waiting", "running")
    assert row.output == f"id {ID}"


def test_a_script_hands_it_over() -> None:
    (row,) = told(enqueued(recipients=1), origin=None)

    assert row.what == "A script handed the message over"
    assert row.request == "none: handed over by a script"


def test_it_is_one_of_many() -> None:
    (row,) = told(enqueued(batch="01BATCH", row=57_312), origin=None)

    assert row.what == (
        "A script handed the message over, in row 57,312 of batch 01BATCH"
    )


def test_a_courier_has_it_at_once() -> None:
    (row,) = told(enqueued(courier="01C"))

    assert row.background == "started: a courier has it"


def test_it_is_for_later() -> None:
    (row,) = told(enqueued(due_at=LATER))

    assert row.background == f"waiting until {LATER_TEXT}"


# ---------------------------------------------------------------------------- the order


def test_the_rows_are_in_the_order_of_their_times() -> None:
    began = Stored(NINE + 2, "began", {"attempt": 1, "courier": "01C", "lane": "x"})
    sent = Stored(NINE + 3, "sent", {"attempt": 1, "seconds": 1.0, "replies": {}})

    rows = told(sent, began, enqueued())

    assert [row.kind for row in rows] == ["enqueued", "began", "sent"]
    assert [row.step for row in rows] == [1, 2, 3]


def test_at_the_same_time_the_first_kept_is_the_first_told() -> None:
    released = Stored(NINE, "released", {"reason": "its courier stopped"})

    rows = told(enqueued(), released, Stored(NINE, "retried", {}))

    assert [row.kind for row in rows] == ["enqueued", "released", "retried"]


def test_request_and_background_go_on_beside_each_other() -> None:
    began = Stored(NINE + 1, "began", {"attempt": 1, "courier": "01C", "lane": "x"})
    detail = {"response_seconds": 0.1, "handover_seconds": 0.1, "status": 202}
    responded = Stored(NINE + 2, "responded", detail)
    sent = Stored(NINE + 3, "sent", {"attempt": 1, "seconds": 1.0, "replies": {}})

    rows = told(enqueued(), began, responded, sent)

    assert [(row.background, row.request) for row in rows] == [
        ("waiting", "running"),
        ("running: talking to the server", "running"),
        ("running: talking to the server", "finished: free for other requests"),
        ("finished", "finished: free for other requests"),
    ]


def test_without_events_there_is_no_story() -> None:
    assert told() == ()
