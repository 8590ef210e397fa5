"""Hostile servers: none can hold up a delivery, or fake an acceptance."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest

from flask_outbox.delivery import Outcome
from tests.servers import CLOSE, STALL, Drip, Pause, ScriptedSmtp, Step
from tests.servers.scripted_smtp import ANYTHING, CONTENT, Action

from .talk import (
    CONTENT_BYTES,
    DATA,
    DOT,
    HASTY_SECONDS,
    HELLO,
    MAIL,
    ONE,
    QUIT,
    RCPT,
    TWO,
    Attempt,
    deliver_once,
    settings_for,
)

LARGE = (
    b"Subject: large\r\n\r\n" + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 120_000
)
"""More than the buffers of two sockets hold, so that somebody has to read it."""


def deliver_to(
    *steps: Step,
    recipients: Sequence[str] = (ONE,),
    content: bytes = CONTENT_BYTES,
    **options: object,
) -> Attempt:
    """One attempt at a server that says hello and then does this."""
    with ScriptedSmtp([*HELLO, *steps]) as server:
        made = deliver_once(
            settings_for(server, **options), *recipients, content=content
        )
        if content is not LARGE:  # of which much may never be read
            server.wait_for_end()
    return made


# ------------------------------------------------------------------------------ slow


def test_the_deadline_holds_where_each_step_is_quick_enough() -> None:
    slow = Step("RCPT", Drip(b"250 ok\r\n"))
    many = [f"{number}@example.org" for number in range(50)]
    made = deliver_to(
        MAIL, *[slow] * len(many), recipients=many, deadline_seconds=HASTY_SECONDS
    )
    assert made.outcomes == [Outcome.DEFERRED] * 50
    assert made.replies[0] == (
        "deadline of 1.5 s passed before the final dot, after RCPT TO"
    )


def test_the_deadline_holds_after_the_final_dot() -> None:
    made = deliver_to(
        MAIL,
        RCPT,
        DATA,
        Step(CONTENT, Drip(b"250-hm\r\n" * 100)),
        deadline_seconds=HASTY_SECONDS,
    )
    assert made.outcomes == [Outcome.UNKNOWN]
    assert made.replies == ["deadline of 1.5 s passed after the final dot"]


@pytest.mark.parametrize(
    ("bound", "steps", "outcome", "reply"),
    [
        (
            "command",
            [Step("MAIL", Drip(b"250-hm\r\n" * 100))],
            Outcome.DEFERRED,
            "no reply in 1.5 s before the final dot, after MAIL FROM",
        ),
        (
            "data",
            [MAIL, RCPT, DATA, Step(CONTENT, Drip(b"250-hm\r\n" * 100))],
            Outcome.UNKNOWN,
            "no reply in 1.5 s after the final dot",
        ),
    ],
)
def test_a_reply_of_single_bytes_does_not_extend_the_deadline(
    bound: str, steps: list[Step], outcome: Outcome, reply: str
) -> None:
    bounds: dict[str, Any] = {f"{bound}_timeout_seconds": HASTY_SECONDS}
    made = deliver_to(*steps, **bounds)
    assert (made.outcomes, made.replies) == ([outcome], [reply])


def test_a_server_that_stops_reading_is_cut_off() -> None:
    made = deliver_to(
        MAIL,
        RCPT,
        Step("DATA", b"354 go\r\n", STALL),
        content=LARGE,
        command_timeout_seconds=HASTY_SECONDS,
    )
    assert made.replies == [
        "the server read nothing in 1.5 s before the final dot, after DATA"
    ]
    assert made.outcomes == [Outcome.DEFERRED]
    assert not made.progress.final_dot_sent


def test_a_server_that_reads_again_in_time_gets_it_all() -> None:
    pausing = Step("DATA", b"354 go\r\n", Pause(HASTY_SECONDS))
    made = deliver_to(MAIL, RCPT, pausing, DOT, QUIT, content=LARGE)
    assert made.outcomes == [Outcome.ACCEPTED]


# -------------------------------------------------------------------- talking too much


@pytest.mark.parametrize(
    "flood", [b"250-more\r\n" * 200_000, b"x" * 2_000_000], ids=["lines", "no line"]
)
def test_a_flood_is_cut_off_and_not_stored(flood: bytes) -> None:
    tracemalloc.start()
    try:
        made = deliver_to(Step("MAIL", flood, STALL))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert made.outcomes == [Outcome.DEFERRED]
    assert made.replies[0].startswith("a reply without end before the final dot")
    assert peak_bytes < 5_000_000


@pytest.mark.parametrize(
    "steps",
    [
        [Step("MAIL", b"250 ok\r\n250 again\r\n")],
        [MAIL, Step("RCPT", b"250 ok\r\n550 no\r\n")],
        [MAIL, RCPT, Step("DATA", b"354 go\r\n250 kept already\r\n")],
        [Step("MAIL", b"250 ok\r\n25")],
    ],
    ids=["MAIL", "RCPT", "DATA", "half a reply"],
)
def test_replies_that_nothing_asked_for_are_not_believed(steps: list[Step]) -> None:
    made = deliver_to(*steps, QUIT, recipients=(ONE, TWO)[: 1 + (len(steps) == 1)])
    assert set(made.outcomes) == {Outcome.DEFERRED}
    assert "the server spoke unasked" in made.replies[0]
    assert not made.progress.final_dot_sent


def test_a_reply_holds_whatever_follows_it() -> None:
    """The message was accepted; what is wrong after that is the connection's matter."""
    made = deliver_to(MAIL, RCPT, DATA, Step(CONTENT, b"250 kept\r\n421 and bye\r\n"))
    assert made.outcomes == [Outcome.ACCEPTED]


def test_an_unasked_421_is_the_servers_goodbye() -> None:
    made = deliver_to(Step("MAIL", b"250 ok\r\n421 4.3.2 going down\r\n"), QUIT)
    assert "takes no mail at the moment (421 4.3.2 going down)" in made.reason


def test_a_refusal_holds_if_the_server_then_hangs_up() -> None:
    made = deliver_to(MAIL, Step("RCPT", b"550 no\r\n", CLOSE))
    assert made.outcomes == [Outcome.REFUSED]
    assert made.replies == ["550 no"]


# ----------------------------------------------------------------- answering too early


@pytest.mark.parametrize(
    ("answer", "outcome", "reply"),
    [
        ([b"552 5.3.4 too big\r\n", STALL], Outcome.REFUSED, "552 5.3.4 too big"),
        ([Drip(b"552 too big\r\n"), STALL], Outcome.REFUSED, "552 too big"),
        ([b"452 4.3.1 disk full\r\n", STALL], Outcome.DEFERRED, "452 4.3.1 disk full"),
        (
            [b"250 kept\r\n", STALL],
            Outcome.DEFERRED,
            "the reply 250 kept makes no sense before the final dot, after DATA",
        ),
        (
            [CLOSE],
            Outcome.DEFERRED,
            "connection lost before the final dot, after DATA",
        ),
        (
            [b"hm\r\n", STALL],
            Outcome.DEFERRED,
            'not a reply: "hm" before the final dot, after DATA',
        ),
    ],
    ids=["552", "552 once we are stuck", "452", "250", "closed", "malformed"],
)
def test_a_reply_in_the_middle_of_the_content_is_heard(
    answer: list[Action], outcome: Outcome, reply: str
) -> None:
    made = deliver_to(MAIL, RCPT, DATA, Step(ANYTHING, *answer), content=LARGE)
    assert (made.outcomes, made.replies) == ([outcome], [reply])
    assert not made.progress.final_dot_sent


def test_a_421_in_the_middle_of_the_content_is_heard() -> None:
    answer = Step(ANYTHING, b"421 4.3.2 going down\r\n", STALL)
    made = deliver_to(MAIL, RCPT, DATA, answer, content=LARGE)
    assert "takes no mail at the moment (421 4.3.2 going down)" in made.reason

    made = deliver_to(
        MAIL,
        Step("RCPT", b"550 no\r\n"),
        RCPT,
        DATA,
        answer,
        content=LARGE,
        recipients=(ONE, TWO),
    )
    assert made.outcomes == [Outcome.REFUSED, Outcome.DEFERRED]
    assert made.replies == ["550 no", "421 4.3.2 going down"]


# ------------------------------------------------------------------ what people read


@pytest.mark.parametrize(
    ("steps", "reply"),
    [
        (
            [MAIL, Step("RCPT", CLOSE)],
            "connection lost before the final dot, after RCPT TO",
        ),
        (
            [MAIL, RCPT, DATA, Step(CONTENT, CLOSE)],
            "connection lost after the final dot",
        ),
        (
            [Step("MAIL", b"\x1b[2Jwhat\r\n")],
            'not a reply: "\\x1b[2Jwhat" before the final dot, after MAIL FROM',
        ),
        (
            [MAIL, RCPT, DATA, Step(CONTENT, b"what\r\n")],
            'not a reply: "what" after the final dot',
        ),
        (
            [Step("MAIL", b"250-a\r\n550 b\r\n")],
            'two codes in one reply: "550 b" before the final dot, after MAIL FROM',
        ),
    ],
)
def test_without_a_reply_our_own_observation_is_reported(
    steps: list[Step], reply: str
) -> None:
    made = deliver_to(*steps)
    assert made.replies == [reply]
