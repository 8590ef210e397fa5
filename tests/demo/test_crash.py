"""What a crash at each step loses, with a thread and with the outbox: it is tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from flask_outbox.demo import crash as crashing
from flask_outbox.demo.crash import Left, crash
from flask_outbox.demo.crashes import Crashes, in_words
from flask_outbox.demo.errors import CannotRun
from tests.waiting import eventually

STARTED = "Email sending started!"


@pytest.mark.parametrize(
    ("step", "arrivals"), [(1, 0), (2, 0), (3, 0), (4, 1), (5, 1), (6, 1)]
)
def test_with_a_thread_it_loses_the_mail_or_what_became_of_it(
    tmp_path: Path, step: int, arrivals: int
) -> None:
    left = crash("thread", step, tmp_path)
    assert left.answered == (None if step == 1 else STARTED)
    assert len(left.message_ids) == arrivals
    assert left.record == {}


@pytest.mark.parametrize(
    ("step", "arrivals"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 1), (6, 1)]
)
def test_with_the_outbox_it_loses_nothing_that_was_promised(
    tmp_path: Path, step: int, arrivals: int
) -> None:
    left = crash("outbox", step, tmp_path)
    assert left.answered == (None if step == 1 else STARTED)
    assert len(left.message_ids) == arrivals
    assert len(set(left.message_ids)) == min(arrivals, 1)
    assert left.record == ({"sent": 1} if arrivals else {})


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (
            Left(None, (), {}),
            "Tried: the user got no answer; the mail never arrived; nothing is on "
            "record.",
        ),
        (
            Left("Hello", ("<1>", "<1>"), {"sent": 1}),
            "Tried: the user got “Hello”; the mail arrived twice, under the same "
            "Message-ID; “sent” is on record.",
        ),
    ],
    ids=["nothing", "all"],
)
def test_it_is_told_in_words(left: Left, words: str) -> None:
    assert in_words(left) == words


def test_an_app_that_does_not_start_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crashing, "PATIENCE_SECONDS", 0.01)
    with pytest.raises(CannotRun, match="did not say 'http://'"):
        crash("thread", 2, tmp_path)
    crashes = Crashes(tmp_path)
    crashes.begin(2)
    eventually(lambda: crashes.running is None)
    assert crashes.told(2, "outbox").startswith("It could not be tried: the app to be")
