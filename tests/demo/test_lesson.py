"""The lesson's facts, and the source that it shows."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from flask_outbox.courier.attempt import attempt
from flask_outbox.demo import shop, views
from flask_outbox.demo.tour import listings
from flask_outbox.demo.tour.listing import Listing, listing
from flask_outbox.demo.tour.text import (
    FLOW,
    MOMENTS,
    QUIZ,
    SNAPSHOT,
    STEPS,
    TRACKED_AFTER,
    TRANSCRIPT,
    VARIABLES,
)


def test_the_execution_table_has_the_lessons_rows() -> None:
    rows = [(one.number, one.background, one.app, one.output) for one in STEPS]
    assert rows == [
        (1, "not started", "waiting for the response", "none yet"),
        (2, "started", "returns the response at once", "none yet"),
        (3, "running", "ready for new requests", "none yet"),
        (4, "running", "independent", "Email sent!"),
        (5, "finished", "unaffected", "it is known that the mail was sent"),
        (6, "stopped", "still running", "none further"),
    ]
    assert [one.action for one in STEPS] == [
        "The user calls /send-email",
        "The background work starts",
        "The main app processes other requests",
        "send_email runs: the server takes the mail",
        "send_email completes",
        "The background work ends",
    ]


def test_the_variables_are_tracked_at_four_moments() -> None:
    assert TRACKED_AFTER == (
        ("Start", 0),
        ("After step 2", 2),
        ("After step 4", 4),
        ("Final", 6),
    )
    assert VARIABLES == (
        ("Background work", ("none", "started", "running", "finished")),
        ("Main app", ("running", "running", "running", "running")),
    )


def test_each_stage_of_the_flow_is_lit_in_order() -> None:
    first_lit = [
        next(step.number for step in STEPS if stage in step.flow)
        for stage in range(len(FLOW))
    ]
    assert first_lit == [1, 2, 3, 3, 5, 6]


def test_each_question_has_one_right_answer() -> None:
    assert {one.name: one.right for one in QUIZ} == {
        "response": "2",
        "done": "4",
        "without": "wait",
    }
    for question in QUIZ:
        values = [choice.value for choice in question.choices]
        assert values.count(question.right) == 1
        assert len(set(values)) == len(values)
        assert question.hint


def test_the_key_moments_point_at_their_steps() -> None:
    assert [one.steps for one in MOMENTS] == [(2, 3), (3,), (4, 5)]


def test_the_snapshot_and_the_transcript_are_complete() -> None:
    for fact in ("in the background", "immediate", "independent", "never blocked"):
        assert fact in SNAPSHOT
    assert "mail.send(" in SNAPSHOT
    assert len(TRANSCRIPT) == len(STEPS)


def test_the_listings_are_the_source_that_runs() -> None:
    route, other, courier = listings()
    for shown, function in (
        (route, inspect.unwrap(shop.send_email)),
        (other, views.ping),
        (courier, attempt),
    ):
        file = inspect.getsourcefile(function)
        assert file
        source = Path(file).read_text().splitlines()
        assert [line.text for line in shown.lines] == [
            source[line.number - 1] for line in shown.lines
        ]


def test_each_step_but_the_last_has_lines_of_source() -> None:
    route, other, courier = listings()
    assert (
        first_at(route, 1) == '@sending.route("/send-email", methods=["GET", "POST"])'
    )
    assert first_at(route, 2) == "receipt = mail.send("
    assert last_at(route, 2) == ")"
    assert first_at(other, 3) == 'return "", 204'
    assert first_at(courier, 3).startswith("report = await transport.deliver(")
    assert first_at(courier, 4).startswith("verdict = classify(")
    assert first_at(courier, 5).startswith("record = _record(")


def at(shown: Listing, step: int) -> list[str]:
    return [line.text.strip() for line in shown.lines if step in line.steps]


def first_at(shown: Listing, step: int) -> str:
    return at(shown, step)[0]


def last_at(shown: Listing, step: int) -> str:
    return at(shown, step)[-1]


def test_a_missing_line_is_an_error() -> None:
    with pytest.raises(LookupError, match="ping has no statement that begins with 'do"):
        listing("Any other request", views.ping, {1: ("do_it",)})
