"""Where a message stands, in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from flask_outbox.delivery import Reply, State
from flask_outbox.events import Event, EventKind
from flask_outbox.feedback import Fate
from flask_outbox.outbox.records import Attempt, MessageRecord, Recipient
from flask_outbox.status import LanePause, MessageStatus, StageState
from tests.records import a_record

NOW = datetime(2026, 2, 14, 9, 30, tzinfo=UTC)
ORIGIN = {
    "method": "POST",
    "route": "/send-email",
    "endpoint": "send_email",
    "request_id": "fd1448bf",
}


@pytest.fixture
def record() -> MessageRecord:
    """A message that a script has just handed over."""
    return a_record("01A", NOW)


def stage_states(status: MessageStatus) -> dict[str, StageState]:
    return {stage.name: stage.state for stage in status.stages}


def test_a_script_has_no_request_to_wait_for(record: MessageRecord) -> None:
    (request, *_) = MessageStatus(record, None, NOW).stages
    assert (request.state, request.text) == (StageState.DONE, "none: a script")
    (request, *_) = MessageStatus(replace(record, origin=ORIGIN), None, NOW).stages
    assert (request.state, request.text) == (StageState.NOW, "not yet answered")


@pytest.mark.parametrize(
    ("state", "others", "end", "summary"),
    [
        (
            State.FAILED,
            "1 failed",
            StageState.PARTLY,
            "3 of 4 sent, 1 failed: it will not be tried again",
        ),
        (State.PENDING, "1 waiting", StageState.AHEAD, "waiting for a courier"),
    ],
)
def test_a_mail_that_only_some_have_got_says_so(
    record: MessageRecord, state: State, others: str, end: StageState, summary: str
) -> None:
    taken, refused = Reply(250, None, "ok"), Reply(550, "5.1.1", "no such user")
    recipients = (
        *(Recipient(f"{n}@example.org", State.SENT, taken) for n in range(3)),
        Recipient("bob@example.org", state, refused),
    )
    partly = replace(record, state=state, recipients=recipients)
    status = MessageStatus(partly, None, NOW)
    *_, server, last = status.stages
    assert server.state is StageState.PARTLY
    assert server.text == f"3 of 4 sent, {others}: 550 5.1.1 no such user"
    assert last.state is end
    assert status.summary == summary


def test_the_server_stage_begins_with_the_attempt(
    record: MessageRecord,
) -> None:
    leased = replace(record, state=State.LEASED)
    *_, courier, server, _ = MessageStatus(leased, None, NOW).stages
    assert (courier.state, courier.text) == (StageState.NOW, "has it")
    assert server.state is StageState.AHEAD
    attempt = Attempt(1, "courier", NOW, ended_at=None, outcome=None)
    begun = replace(leased, attempts=(attempt,))
    *_, courier, server, _ = MessageStatus(begun, None, NOW).stages
    assert (courier.state, courier.text) == (StageState.NOW, "attempt 1")
    assert (server.state, server.text) == (StageState.NOW, "asked")


def test_a_lane_paused_by_a_person_has_no_next_probe(record: MessageRecord) -> None:
    status = MessageStatus(record, LanePause("a holiday", None), NOW)
    assert status.summary == "waiting: a person paused its lane"
    status = MessageStatus(
        record, LanePause("refused", NOW + timedelta(seconds=3)), NOW
    )
    assert status.summary == "waiting: the next probe is in 3 s"


@pytest.mark.parametrize(
    ("detail", "unfinished", "summary"),
    [
        ({}, False, "it may have arrived: a person decides"),
        (
            {"due_at": NOW.timestamp() + 300},
            True,
            "it may have arrived: sent again in 5 min 0 s",
        ),
    ],
)
def test_what_is_on_hold_is_finished_until_a_person_decides(
    record: MessageRecord, detail: dict[str, float], unfinished: bool, summary: str
) -> None:
    detail = {"attempt": 1, "seconds": 0.1, **detail}
    events = (Event(NOW, EventKind.UNKNOWN, detail),)
    held = replace(
        record,
        state=State.UNKNOWN,
        events=events,
        due_at=NOW + timedelta(seconds=300),
    )
    status = MessageStatus(held, None, NOW)
    assert (status.unfinished, status.summary) == (unfinished, summary)
    assert stage_states(status)["end"] is (
        StageState.AHEAD if unfinished else StageState.TROUBLE
    )


@pytest.mark.parametrize(
    ("fates", "state", "text"),
    [
        ([None], StageState.DONE, "Email sent!"),
        ([Fate.DELAYED], StageState.DONE, "delayed"),
        ([Fate.DELIVERED], StageState.DONE, "delivered"),
        ([Fate.SOFT_BOUNCED], StageState.TROUBLE, "soft bounced"),
        ([Fate.COMPLAINED], StageState.TROUBLE, "complained"),
        ([Fate.DELIVERED, None], StageState.DONE, "1 delivered"),
        (
            [Fate.DELIVERED, Fate.BOUNCED, Fate.DELIVERED],
            StageState.TROUBLE,
            "1 bounced, 2 delivered",
        ),
    ],
)
def test_the_end_says_what_is_reported(
    record: MessageRecord, fates: list[Fate | None], state: StageState, text: str
) -> None:
    recipients = tuple(
        Recipient(f"{number}@example.org", State.SENT, None, fate)
        for number, fate in enumerate(fates)
    )
    sent = replace(record, state=State.SENT, recipients=recipients)
    *_, end = MessageStatus(sent, None, NOW).stages
    assert (end.state, end.text) == (state, text)
