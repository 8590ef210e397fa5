"""The history of a message: each kind of event in words, and the states beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from flask_outbox.delivery import IN_INBOX
from flask_outbox.events import Event, EventKind
from flask_outbox.history import Step, describe
from tests.records import a_record

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

WORDS: Mapping[str, tuple[str, Mapping[str, Any], str, str, str]] = {
    "responded": (
        "responded",
        {"response_seconds": 0.0123, "handover_seconds": 0.004, "status": 202},
        "The response went out 12.3 ms after the request came in; enqueueing took 4.0 "
        "ms of that",
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
        {"attempt": 1, "seconds": 0.1, "replies": {"ada@example.org": str(IN_INBOX)}},
        "It was stored in the dev inbox",
        "finished",
        "kept in the dev inbox: nothing left this machine",
    ),
    "deferred": (
        "deferred",
        {"attempt": 2, "seconds": 1.0, "due_at": LATER, "replies": TWO_REPLIES},
        "Attempt 2 was deferred",
        f"waiting until {LATER_TEXT}",
        "ada@example.org: 250 2.0.0 kept; bob@example.org: 550 5.1.1 no such user",
    ),
    "failed, as the server says": (
        "failed",
        {"attempt": 2, "replies": {"ada@example.org": "550 5.1.1 no such user"}},
        "Failed: the next hop refused the mail permanently",
        "finished",
        "550 5.1.1 no such user",
    ),
    "failed, as we say": (
        "failed",
        {"attempt": 9, "replies": {}, "reason": "it was deferred for too long"},
        "Failed: it was deferred for too long",
        "finished",
        "",
    ),
    "unknown, with a wait": (
        "unknown",
        {"attempt": 1, "replies": {"ada@example.org": "lost"}, "due_at": LATER},
        "The connection was lost after the final dot: the mail may have arrived",
        f"waiting until {LATER_TEXT}",
        "lost",
    ),
    "unknown, on hold": (
        "unknown",
        {"attempt": 1, "replies": {"ada@example.org": "lost"}},
        "The connection was lost after the final dot: the mail may have arrived",
        "on hold for a person",
        "lost",
    ),
    "returned": (
        "returned",
        {"reason": "lane default is paused"},
        "The courier returned it untried",
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
    **{
        kind: (
            kind,
            {"address": "bob@example.org", "source": "postmark", "words": "250 OK"},
            f"{what}, as postmark reports",
            "waiting",
            "250 OK",
        )
        for kind, what in {
            "delayed": "A later server has not taken it yet for bob@example.org",
            "soft_bounced": "It came back from bob@example.org for a temporary reason",
            "delivered": "It was delivered to bob@example.org",
            "opened": "The pictures in the mail to bob@example.org were fetched",
            "clicked": "A link in the mail to bob@example.org was followed",
            "bounced": "It came back from bob@example.org for good",
            "unsubscribed": "bob@example.org unsubscribed",
            "complained": "bob@example.org called it spam",
        }.items()
    },
    "bounced, by mail": (
        "bounced",
        {"address": "bob@example.org", "source": "report", "operator": True},
        "It came back from bob@example.org for good, because of the sender's own "
        "set-up, as a report says that came by mail",
        "waiting",
        "",
    ),
    "complained, by mail": (
        "complained",
        {"address": "bob@example.org", "source": "complaint"},
        "bob@example.org called it spam, as a complaint says that came by mail",
        "waiting",
        "",
    ),
    "clicked, on a link": (
        "clicked",
        {"address": "bob@example.org", "source": "ses", "url": "https://a.example/b"},
        "A link in the mail to bob@example.org was followed, as ses reports",
        "waiting",
        "https://a.example/b",
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
        "Failed as poison: 3 couriers died delivering it",
        "finished",
        "",
    ),
    "resent": (
        "resent",
        {},
        "Its wait as unknown is over: it is sent again",
        "waiting",
        "",
    ),
    "rendered": (
        "rendered",
        {"template": "news", "seconds": 0.0123, "version": "0a1b2c"},
        "The courier rendered the template news in 12.3 ms",
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
        "Cancelled: another message with its key was enqueued here",
        "finished",
        "01OTHER",
    ),
    "retried": ("retried", {}, "A person retried it", "waiting", ""),
    "released by a person": (
        "resend_confirmed",
        {},
        "A person released it: it is sent again, though it may have arrived",
        "waiting",
        "",
    ),
    "dropped": (
        "dropped",
        {},
        "A person dropped it: it is not sent again, because it may have arrived",
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
        "Its move to sqlite:////new.db was abandoned: it stayed here",
        "waiting",
        "",
    ),
    "erased": (
        "erased",
        {},
        "The data of a recipient were erased, with its content",
        "waiting",
        "",
    ),
}
"""Name → kind, detail → what happened, the background work, the output."""


def event(at: float, kind: str, detail: Mapping[str, Any]) -> Event:
    return Event(datetime.fromtimestamp(at, UTC), EventKind(kind), detail)


def enqueued(**detail: Any) -> Event:
    return event(NINE, "enqueued", detail)


def steps(
    *events: Event, origin: Mapping[str, Any] | None = ORIGIN
) -> tuple[Step, ...]:
    return describe(replace(a_record(ID), origin=origin, events=events))


@pytest.mark.parametrize(
    ("kind", "detail", "what", "background", "output"),
    WORDS.values(),
    ids=WORDS.keys(),
)
def test_each_kind_of_event_is_described(
    kind: str, detail: Mapping[str, Any], what: str, background: str, output: str
) -> None:
    happened = event(NINE + 1, kind, detail)

    _, step = steps(enqueued(), happened)

    assert (step.what, step.background, step.output) == (what, background, output)
    assert (step.number, step.event) == (2, happened)


def test_every_kind_has_a_description() -> None:
    assert {kind for kind, *_ in WORDS.values()} == {*EventKind} - {EventKind.ENQUEUED}


def test_a_kind_of_a_later_version_is_shown_by_its_name() -> None:
    later = Event(datetime.fromtimestamp(NINE + 1, UTC), "teleported", {})

    _, step = steps(enqueued(), later)

    assert (step.what, step.background) == ("Teleported", "waiting")


# ------------------------------------------------------------------------ the hand-over


def test_a_message_sent_by_a_request_names_it() -> None:
    (row,) = steps(enqueued(recipients=1))

    assert row.number == 1
    assert row.what == "POST /send-email (request r-1) enqueued the message"
    assert (row.background, row.request) == ("waiting", "running")
    assert row.output == f"id {ID}"


def test_a_message_sent_by_a_script_says_so() -> None:
    (row,) = steps(enqueued(recipients=1), origin=None)

    assert row.what == "A script enqueued the message"
    assert row.request == "none: sent by a script"


def test_a_message_of_a_batch_names_it() -> None:
    (row,) = steps(enqueued(batch="01BATCH", row=57_312), origin=None)

    assert row.what == ("A script enqueued the message, in row 57,312 of batch 01BATCH")


def test_a_courier_that_has_it_at_once_is_shown() -> None:
    (row,) = steps(enqueued(courier="01C"))

    assert row.background == "started: a courier has it"


def test_a_scheduled_message_shows_its_time() -> None:
    (row,) = steps(enqueued(due_at=LATER))

    assert row.background == f"waiting until {LATER_TEXT}"


# ---------------------------------------------------------------------------- the order


def test_request_background_and_message_have_their_own_states() -> None:
    began = event(NINE + 1, "began", {"attempt": 1, "courier": "01C", "lane": "x"})
    detail = {"response_seconds": 0.1, "handover_seconds": 0.1, "status": 202}
    responded = event(NINE + 2, "responded", detail)
    sent = event(NINE + 3, "sent", {"attempt": 1, "seconds": 1.0, "replies": {}})

    rows = steps(enqueued(), began, responded, sent)

    running, free = (
        "running: talking to the server",
        "finished: free for other requests",
    )
    assert [(row.number, row.background, row.request, row.state) for row in rows] == [
        (1, "waiting", "running", "pending"),
        (2, running, "running", "leased"),
        (3, running, free, "leased"),
        (4, "finished", free, "sent"),
    ]


def test_without_events_there_are_no_steps() -> None:
    assert steps() == ()
