"""What a crash at each step loses, with a thread and with the outbox: it is tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from flask_outbox.demo.tour import crash as crashing
from flask_outbox.demo.tour.crash import Crashes, CrashResult, crash, in_words
from flask_outbox.demo.web import CannotRun
from tests.waiting import eventually

STARTED = "Email sending started!"


@pytest.mark.parametrize(
    ("step", "arrivals"), [(1, 0), (2, 0), (3, 0), (4, 1), (5, 1), (6, 1)]
)
def test_with_a_thread_the_mail_or_its_result_is_lost(
    tmp_path: Path, step: int, arrivals: int
) -> None:
    result = crash("thread", step, tmp_path)
    assert result.answered == (None if step == 1 else STARTED)
    assert len(result.message_ids) == arrivals
    assert result.record == {}


@pytest.mark.parametrize(
    ("step", "arrivals"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 1), (6, 1)]
)
def test_with_the_outbox_no_accepted_mail_is_lost(
    tmp_path: Path, step: int, arrivals: int
) -> None:
    result = crash("outbox", step, tmp_path)
    assert result.answered == (None if step == 1 else STARTED)
    assert len(result.message_ids) == arrivals
    assert len(set(result.message_ids)) == min(arrivals, 1)
    assert result.record == ({"sent": 1} if arrivals else {})


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (
            CrashResult(None, (), {}),
            "Tried: the user got no answer; the mail never arrived; nothing is on "
            "record.",
        ),
        (
            CrashResult("Hello", ("<1>", "<1>"), {"sent": 1}),
            "Tried: the user got “Hello”; the mail arrived twice, under the same "
            "Message-ID; “sent” is on record.",
        ),
    ],
    ids=["nothing", "all"],
)
def test_the_result_is_described_in_words(result: CrashResult, words: str) -> None:
    assert in_words(result) == words


def test_an_app_that_does_not_start_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crashing, "PATIENCE_SECONDS", 0.01)
    with pytest.raises(CannotRun, match="did not say 'http://'"):
        crash("thread", 2, tmp_path)
    crashes = Crashes(tmp_path)
    crashes.begin(2)
    eventually(lambda: crashes.running is None)
    assert crashes.result(2, "outbox").startswith(
        "It could not be tried: the app to be"
    )
