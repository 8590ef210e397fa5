"""The picture of a mail's way, where no demo shows it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from flask_outbox.delivery import Reply, State
from flask_outbox.outbox.records import MessageRecord, Recipient
from flask_outbox.picture import Light, Pause, Sight
from flask_outbox.story import Stored, tell

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
    events = tell("01A", None, [Stored(NOW.timestamp(), "enqueued", {})])
    return MessageRecord(
        id="01A",
        state=State.PENDING,
        subject="Hello",
        return_path="shop@example.com",
        message_id="<01A@example.com>",
        lane="default",
        priority=0,
        key=None,
        tag=None,
        metadata=None,
        origin=None,
        size_bytes=100,
        enqueued_at=NOW,
        due_at=NOW,
        recipients=(Recipient("ada@example.org", State.PENDING, None),),
        attempts=(),
        events=events,
    )


def lights(sight: Sight) -> dict[str, Light]:
    return {stage.name: stage.light for stage in sight.stages}


def test_a_script_has_no_request_to_wait_for(record: MessageRecord) -> None:
    (request, *_) = Sight(record, None, NOW).stages
    assert (request.light, request.text) == (Light.DONE, "none: a script")
    (request, *_) = Sight(replace(record, origin=ORIGIN), None, NOW).stages
    assert (request.light, request.text) == (Light.NOW, "not yet answered")


@pytest.mark.parametrize("state", [State.FAILED, State.PENDING])
def test_the_server_box_says_who_got_it_and_who_did_not(
    record: MessageRecord, state: State
) -> None:
    taken, refused = Reply(250, None, "ok"), Reply(550, "5.1.1", "no such user")
    recipients = (
        *(Recipient(f"{n}@example.org", State.SENT, taken) for n in range(3)),
        Recipient("bob@example.org", state, refused),
    )
    partly = replace(record, state=state, recipients=recipients)
    (server,) = [one for one in Sight(partly, None, NOW).stages if one.name == "server"]
    assert server.light is Light.TROUBLE
    assert server.text == "3 got it, 1 did not: 550 5.1.1 no such user"


def test_a_lane_paused_by_a_person_has_no_next_look(record: MessageRecord) -> None:
    sight = Sight(record, Pause("a holiday", None), NOW)
    assert sight.standing == "waits: a person paused its lane"
    sight = Sight(record, Pause("refused", NOW + timedelta(seconds=3)), NOW)
    assert sight.standing == "waits: the next look is in 3 s"


@pytest.mark.parametrize(
    ("detail", "unfinished", "standing"),
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
    record: MessageRecord, detail: dict[str, float], unfinished: bool, standing: str
) -> None:
    detail = {"attempt": 1, "seconds": 0.1, **detail}
    events = tell("01A", None, [Stored(NOW.timestamp(), "unknown", detail)])
    held = replace(
        record,
        state=State.UNKNOWN,
        events=events,
        due_at=NOW + timedelta(seconds=300),
    )
    sight = Sight(held, None, NOW)
    assert (sight.unfinished, sight.standing) == (unfinished, standing)
    assert lights(sight)["end"] is (Light.AHEAD if unfinished else Light.TROUBLE)
