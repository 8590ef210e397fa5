"""What the log says: enough to know which message it was and what to do."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_outbox import Mail, OutboxUnavailable, State, events, logs
from flask_outbox.repeats import Repeats
from tests.mail.site import SENDER, Site, make_app, url_of
from tests.servers import JournalSmtp

DEBUG, INFO, WARNING, ERROR = (
    logging.DEBUG,
    logging.INFO,
    logging.WARNING,
    logging.ERROR,
)
ID = "01M86TDSQAGHPSE9SP07B0Y605"
REPLIES = {"ada@example.org": "250 2.0.0 ok", "bob@example.org": "451 4.3.0 later"}
SUPPRESSED = {"bob@example.org": "on the suppression list"}
END: dict[str, Any] = {
    "message_id": ID,
    "attempt": 2,
    "lane": "default",
    "courier": "C1",
    "replies": REPLIES,
    "due_at": None,
    "reason": None,
    "dialogue": ["us: EHLO me", "them: 250 you"],
}
BOTH = "ada@example.org: 250 2.0.0 ok; bob@example.org: 451 4.3.0 later"

WORDS: list[tuple[Any, dict[str, Any], int, str]] = [
    (
        events.message_enqueued,
        {"message_id": ID, "duplicate": False, "seconds": 0.0015},
        DEBUG,
        f"Message {ID} kept in 1.5 ms.",
    ),
    (
        events.message_enqueued,
        {"message_id": ID, "duplicate": True, "seconds": 0.0015},
        INFO,
        f"Message {ID} was handed over before under the same key.",
    ),
    (
        events.message_began,
        {"message_id": ID, "attempt": 1, "courier": "C1", "lane": "default"},
        DEBUG,
        f"Message {ID}: attempt 1 begins on lane default.",
    ),
    (events.message_sent, END, INFO, f"Message {ID} sent on attempt 2. {BOTH}"),
    (
        events.message_deferred,
        END,
        WARNING,
        f"Message {ID}: attempt 2 put off, it will be tried again. {BOTH}",
    ),
    (
        events.message_failed,
        END,
        ERROR,
        f"Message {ID} failed. {BOTH} Retry it with: flask outbox retry {ID}",
    ),
    (
        events.message_failed,
        {**END, "reason": "it was deferred for too long"},
        ERROR,
        f"Message {ID} failed: it was deferred for too long. {BOTH} Retry it with: "
        f"flask outbox retry {ID}",
    ),
    (
        events.message_unknown,
        END,
        WARNING,
        f"Message {ID}: the link was lost after the final dot, nobody can know whether "
        f"it arrived (OUTBOX_ON_UNKNOWN). {BOTH}",
    ),
    (
        events.message_released,
        {**END, "reason": "the lane is paused"},
        INFO,
        f"Message {ID} given back untried: the lane is paused",
    ),
    (
        events.message_suppressed,
        {"message_id": ID, "replies": SUPPRESSED, "finished": False},
        INFO,
        f"Message {ID} is kept from some: bob@example.org: on the suppression list",
    ),
    (
        events.message_suppressed,
        {"message_id": ID, "replies": SUPPRESSED, "finished": True},
        INFO,
        f"Message {ID} is kept from everyone: bob@example.org: on the suppression list",
    ),
    (
        events.message_rescued,
        {"message_id": ID, "dead": "C0", "state": State.PENDING, "courier": "C1"},
        WARNING,
        f"Message {ID} rescued from the dead courier C0: now pending.",
    ),
    (
        events.lease_lost,
        {"message_id": ID, "courier": "C1"},
        WARNING,
        f"Courier C1 lost its lease on message {ID}: another delivers it.",
    ),
    (
        events.lane_paused,
        {"lane": "default", "reason": "Nothing listens.", "seconds": 0.75},
        ERROR,
        "Lane default is paused, no message is lost: Nothing listens. Next probe in "
        "0.8 s.",
    ),
    (
        events.lane_resumed,
        {"lane": "default"},
        WARNING,
        "Lane default is open again.",
    ),
    (
        events.courier_started,
        {"courier": "C1", "engine": "thread"},
        INFO,
        "Courier C1 works (engine thread).",
    ),
    (events.courier_stopped, {"courier": "C1"}, INFO, "Courier C1 stopped."),
    (
        events.courier_stalled,
        {"courier": "C1", "error": OutboxUnavailable("the disk is full")},
        ERROR,
        "Courier C1 cannot go on and tries again: the disk is full",
    ),
    (
        events.relay_stalled,
        {"error": ConnectionError("nobody answers")},
        ERROR,
        "Couriers elsewhere cannot be told of new mail, which is kept all the same, "
        "and find it when they look by themselves: nobody answers",
    ),
    (
        events.relay_resumed,
        {"failures": 3},
        WARNING,
        "Couriers elsewhere are told of new mail again.",
    ),
]


@pytest.fixture(autouse=True)
def everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(DEBUG, "flask_outbox")
    caplog.set_level(DEBUG, "flask_outbox.dialogue")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[JournalSmtp]:
    with JournalSmtp(tmp_path / "journal", users={"shop": "hunter2"}) as server:
        yield server


def _said(caplog: pytest.LogCaptureFixture, logger: str) -> list[tuple[int, str]]:
    return [
        (one.levelno, one.getMessage()) for one in caplog.records if one.name == logger
    ]


def _deliver(server: JournalSmtp, folder: Path, **config: Any) -> str:
    """Send one message to its end; its id."""
    url = url_of(server).replace("//", "//shop:hunter2@")
    app = make_app(folder, MAIL_URL=url, MAIL_AUTH_UNENCRYPTED=True, **config)
    site = Site(app, Mail(app))
    receipt = site.send()
    site.settled(receipt)
    site.close()
    return receipt.id


@pytest.mark.parametrize(
    ("signal", "payload", "level", "text"),
    WORDS,
    ids=[f"{number}-{row[0].name}" for number, row in enumerate(WORDS)],
)
def test_what_is_said(
    caplog: pytest.LogCaptureFixture,
    signal: Any,
    payload: dict[str, Any],
    level: int,
    text: str,
):
    logs.listen()
    events.emit(signal, Flask("shop"), **payload)
    assert _said(caplog, "flask_outbox") == [(level, text)]


def test_each_thing_is_said_once_however_many_apps_there_are(
    caplog: pytest.LogCaptureFixture,
):
    for _ in range(3):
        logs.listen()
    events.emit(events.lane_resumed, Flask("shop"), lane="default")
    assert len(_said(caplog, "flask_outbox")) == 1


def test_a_delivery_from_beginning_to_end(
    caplog: pytest.LogCaptureFixture, server: JournalSmtp, tmp_path: Path
):
    id = _deliver(server, tmp_path / "app")
    said = _said(caplog, "flask_outbox")
    about_it = [text.partition(id)[2] for _, text in said if id in text]
    assert about_it[0].endswith(" ms.")
    reply = "ada@example.org: 250 2.0.0 journaled as 1"
    assert about_it[-1] == f" sent on attempt 1. {reply}"
    assert max(level for level, _ in said) == INFO


def test_no_password_is_ever_logged(
    caplog: pytest.LogCaptureFixture, server: JournalSmtp, tmp_path: Path
):
    _deliver(server, tmp_path / "app", MAIL_DEBUG=True)
    everything = "".join(one.getMessage() for one in caplog.records)
    assert SENDER in everything
    assert "hunter2" not in everything


def test_mail_debug_shows_the_dialogue_without_the_content(
    caplog: pytest.LogCaptureFixture, server: JournalSmtp, tmp_path: Path
):
    id = _deliver(server, tmp_path / "app", MAIL_DEBUG=True)
    said = [text for _, text in _said(caplog, "flask_outbox.dialogue")]
    assert f"{id} us: RCPT TO:<ada@example.org>" in said
    assert f"{id} them: 250 2.0.0 journaled as 1" in said
    assert any("bytes of content" in line for line in said)
    assert not any("Hello" in line for line in said)


def test_where_mail_stays_is_said_without_a_password(
    caplog: pytest.LogCaptureFixture,
):
    url = "postgresql://shop:hunter2@db.example.com/outbox"
    logs.say_where_mail_stays(url, None, testing=False)
    logs.say_where_mail_stays(url, "/outbox", testing=True)
    text = (
        "No mail leaves this app: all of it is kept in the dev inbox, "
        "postgresql://shop:***@db.example.com/outbox. Set MAIL_URL to send it. "
    )
    assert _said(caplog, "flask_outbox") == [
        (
            WARNING,
            f'{text}Set OUTBOX_DASHBOARD = "local" to look at it in the browser.',
        ),
        (INFO, f"{text}Look at it in the browser: /outbox/inbox"),
    ]


def test_a_line_looks_like_what_it_says(caplog: pytest.LogCaptureFixture) -> None:
    logs.listen()
    said = logging.getLogger("flask_outbox")
    with caplog.at_level(logging.INFO, "flask_outbox"):
        said.info("%s has unsubscribed from %s.", "a\u202eb@x.org", "n\x1b[2Jews\u2066")
        said.info("Grüße an %s.", "jörg@müller.example")
    assert caplog.messages == [
        "a\\u202eb@x.org has unsubscribed from n\\x1b[2Jews\\u2066.",
        "Grüße an jörg@müller.example.",
    ]


class Hand:
    """A clock that is set by hand."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    """The clock by which repetitions are held back."""
    hand = Hand()
    monkeypatch.setattr(logs, "repeats", Repeats(hand))
    logs.listen()
    return hand


GOES_ON: list[tuple[Any, dict[str, Any], str, Any, dict[str, Any]]] = [
    (
        events.lane_paused,
        {"lane": "default", "seconds": 1.0},
        "reason",
        events.lane_resumed,
        {"lane": "default"},
    ),
    (
        events.courier_stalled,
        {"courier": "C1"},
        "error",
        events.message_began,
        {"message_id": ID, "attempt": 1, "courier": "C1", "lane": "default"},
    ),
    (events.relay_stalled, {}, "error", events.relay_resumed, {}),
]


@pytest.mark.parametrize(("signal", "payload", "field", "end", "ended"), GOES_ON)
def test_what_goes_on_is_said_once_when_it_changes_and_every_five_minutes(
    caplog: pytest.LogCaptureFixture,
    hand: Hand,
    signal: Any,
    payload: dict[str, Any],
    field: str,
    end: Any,
    ended: dict[str, Any],
) -> None:
    app = Flask("shop")

    def goes_on(seconds: int, why: str) -> list[str]:
        caplog.clear()
        for _ in range(seconds):
            events.emit(signal, app, **payload, **{field: why})
            hand.seconds += 1
        return [one.getMessage() for one in caplog.records]

    assert len(goes_on(20, "Nothing listens.")) == 1
    (changed,) = goes_on(20, "The disk is full.")
    assert "The disk is full." in changed
    (again,) = goes_on(300, "The disk is full.")
    assert again.endswith(" The same as before, 299 times.")
    events.emit(end, app, **ended)
    (anew,) = goes_on(20, "The disk is full.")
    assert "The same" not in anew


def test_what_goes_on_in_one_app_is_said_of_another_too(
    caplog: pytest.LogCaptureFixture, hand: Hand
) -> None:
    shop, blog = Flask("shop"), Flask("blog")
    for app in (shop, blog, shop, blog):
        events.emit(
            events.lane_paused, app, lane="default", reason="Down.", seconds=1.0
        )
    assert len(_said(caplog, "flask_outbox")) == 2
