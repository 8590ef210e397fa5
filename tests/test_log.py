"""What the log says: enough to know which message it was and what to do."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_outbox import Mail, Message, OutboxUnavailable, State, log, signals
from flask_outbox.concurrency import DaemonExecutor, Thread
from flask_outbox.log import Repeats
from flask_outbox.log_context import about
from tests.mail.site import SENDER, Site, make_app, url_of
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import WAIT_SECONDS

DEBUG, INFO, WARNING, ERROR = (
    logging.DEBUG,
    logging.INFO,
    logging.WARNING,
    logging.ERROR,
)
ID = "01M86TDSQAGHPSE9SP07B0Y605"
REPLIES = {"ada@example.org": "250 2.0.0 ok", "bob@example.org": "451 4.3.0 later"}
SUPPRESSED = {"bob@example.org": "on the list"}
END: dict[str, Any] = {
    "message_id": ID,
    "attempt": 2,
    "lane": "default",
    "courier": "C1",
    "replies": REPLIES,
    "due_at": None,
    "reason": None,
    "dialogue": ["us: EHLO me", "them: 250 you"],
    "hidden": False,
    "suppressed": False,
}
BOTH = "ada@example.org: 250 2.0.0 ok; bob@example.org: 451 4.3.0 later"

WORDS: list[tuple[Any, dict[str, Any], int, str]] = [
    (
        signals.message_enqueued,
        {"message_id": ID, "duplicate": False, "seconds": 0.0015},
        DEBUG,
        f"Message {ID} stored in 1.5 ms.",
    ),
    (
        signals.message_enqueued,
        {"message_id": ID, "duplicate": True, "seconds": 0.0015},
        INFO,
        f"Message {ID} was enqueued before with the same key.",
    ),
    (
        signals.message_began,
        {"message_id": ID, "attempt": 1, "courier": "C1", "lane": "default"},
        DEBUG,
        f"Message {ID}: attempt 1 begins on lane default.",
    ),
    (signals.message_sent, END, INFO, f"Message {ID} sent on attempt 2. {BOTH}"),
    (
        signals.message_deferred,
        END,
        WARNING,
        f"Message {ID} deferred after attempt 2; it will be tried again. {BOTH}",
    ),
    (
        signals.message_failed,
        END,
        ERROR,
        f"Message {ID} failed. {BOTH}. Retry it with: flask outbox retry {ID}",
    ),
    (
        signals.message_failed,
        {**END, "reason": "it was deferred for too long"},
        ERROR,
        f"Message {ID} failed: it was deferred for too long. {BOTH}. Retry it with: "
        f"flask outbox retry {ID}",
    ),
    (
        signals.message_failed,
        {**END, "suppressed": True},
        ERROR,
        f"Message {ID} failed. {BOTH}. Those who refused it are suppressed from now "
        "on: to retry it, end that first, with: flask outbox unsuppress ADDRESS",
    ),
    (
        signals.message_failed,
        {**END, "replies": {"ada@example.org": "550 5.1.1 Unknown."}},
        ERROR,
        f"Message {ID} failed. ada@example.org: 550 5.1.1 Unknown. Retry it with: "
        f"flask outbox retry {ID}",
    ),
    (
        signals.message_failed,
        {**END, "hidden": True},
        ERROR,
        f"Message {ID} failed. {BOTH}. It was sensitive, so its content was removed: "
        "have the app send a new one.",
    ),
    (
        signals.message_unknown,
        END,
        WARNING,
        f"Message {ID} unknown: the connection was lost after the final dot, so it may "
        f"have arrived (OUTBOX_ON_UNKNOWN). {BOTH}",
    ),
    (
        signals.message_returned,
        {**END, "reason": "the lane is paused"},
        INFO,
        f"Message {ID} returned untried: the lane is paused",
    ),
    (
        signals.message_suppressed,
        {"message_id": ID, "replies": SUPPRESSED, "finished": False},
        INFO,
        f"Message {ID} is suppressed for some: bob@example.org: on the list",
    ),
    (
        signals.message_suppressed,
        {"message_id": ID, "replies": SUPPRESSED, "finished": True},
        INFO,
        f"Message {ID} is suppressed for everyone: bob@example.org: on the list",
    ),
    (
        signals.message_rescued,
        {"message_id": ID, "dead": "C0", "state": State.PENDING, "courier": "C1"},
        WARNING,
        f"Message {ID} rescued from the dead courier C0: now pending.",
    ),
    (
        signals.lease_lost,
        {"message_id": ID, "courier": "C1"},
        WARNING,
        f"Courier C1 lost its lease on message {ID}: another delivers it.",
    ),
    (
        signals.lane_paused,
        {"lane": "default", "reason": "Nothing listens.", "seconds": 0.75},
        ERROR,
        "Lane default is paused; no message is lost. Nothing listens. Next probe in "
        "0.8 s.",
    ),
    (
        signals.lane_resumed,
        {"lane": "default"},
        WARNING,
        "Lane default is open again.",
    ),
    (
        signals.alert_raised,
        {"words": "The lane default is down.", "reason": "Nothing listens."},
        ERROR,
        "Alert: The lane default is down. Nothing listens.",
    ),
    (
        signals.alert_raised,
        {"words": "Mail is due.", "reason": ""},
        ERROR,
        "Alert: Mail is due.",
    ),
    (
        signals.alert_ended,
        {
            "words": "Mail is due.",
            "began_at": datetime(2026, 11, 30, 11, 0, tzinfo=UTC),
            "ended_at": datetime(2026, 11, 30, 11, 25, tzinfo=UTC),
        },
        WARNING,
        "An alert is over after 25 min 0 s: Mail is due.",
    ),
    (
        signals.courier_started,
        {"courier": "C1", "engine": "thread"},
        INFO,
        "Courier C1 started (engine thread).",
    ),
    (signals.courier_stopped, {"courier": "C1"}, INFO, "Courier C1 stopped."),
    (
        signals.courier_stalled,
        {"courier": "C1", "error": OutboxUnavailable("the disk is full")},
        ERROR,
        "Courier C1 cannot use the outbox and retries: the disk is full",
    ),
    (
        signals.notifier_stalled,
        {"error": ConnectionError("nobody answers")},
        ERROR,
        "Couriers in other processes cannot be notified of new mail. It is stored, and "
        "they find it when they poll: nobody answers",
    ),
    (
        signals.notifier_resumed,
        {"failures": 3},
        WARNING,
        "Couriers in other processes are notified of new mail again.",
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
def test_each_signal_is_logged_in_words(
    caplog: pytest.LogCaptureFixture,
    signal: Any,
    payload: dict[str, Any],
    level: int,
    text: str,
):
    log.listen()
    signals.emit(signal, Flask("shop"), **payload)
    assert _said(caplog, "flask_outbox") == [(level, text)]


def test_a_signal_is_logged_once_however_many_apps_there_are(
    caplog: pytest.LogCaptureFixture,
):
    for _ in range(3):
        log.listen()
    signals.emit(signals.lane_resumed, Flask("shop"), lane="default")
    assert len(_said(caplog, "flask_outbox")) == 1


def test_a_whole_delivery_is_logged(
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


def _names(caplog: pytest.LogCaptureFixture) -> set[str]:
    """The apps of all lines; each line begins with its own."""
    for one in caplog.records:
        if one.name.startswith("flask_outbox"):
            assert one.getMessage().startswith(f"[{vars(one)['app']}] "), one
    return {vars(one)["app"] for one in caplog.records if "app" in vars(one)}


def test_lines_of_one_app_do_not_name_it(
    caplog: pytest.LogCaptureFixture, server: JournalSmtp, tmp_path: Path
):
    id = _deliver(server, tmp_path / "shop")
    assert f"Message {id} sent on attempt 1." in caplog.text
    assert "[shop]" not in caplog.text


def test_lines_name_their_app_where_several_are_served(
    caplog: pytest.LogCaptureFixture, server: JournalSmtp, tmp_path: Path
):
    blog = make_app(tmp_path / "blog", MAIL_URL=url_of(server))
    Mail(blog)  # which sends nothing
    id = _deliver(server, tmp_path / "shop")
    assert _names(caplog) == {"shop"}
    assert f"[shop] Message {id} sent on attempt 1." in caplog.text


def test_an_app_that_has_ended_is_no_reason_to_name_the_others(
    caplog: pytest.LogCaptureFixture, server: JournalSmtp, tmp_path: Path
):
    Mail(make_app(tmp_path / "blog", MAIL_URL=url_of(server)))
    gc.collect()
    _deliver(server, tmp_path / "shop")
    assert "[shop]" not in caplog.text


def test_lines_at_the_first_request_and_at_start_up_name_their_app(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
):
    config: dict[str, Any] = {
        "MAIL_SERVER": "localhost",
        "MAIL_USERNAME": "shop",
        "OUTBOX_DASHBOARD": "local",
        "OUTBOX_ONLY_TO": SENDER,
    }
    apps = [make_app(tmp_path / name, **config) for name in ("shop", "blog")]
    mails = [Mail(app) for app in apps]
    for app, mail in zip(apps, mails, strict=True):
        app.test_client().get("/")
        mail.stop()
    assert _names(caplog) == {"shop", "blog"}
    for name in ("shop", "blog"):
        for line in (
            "Open the dashboard",
            "Lane default does not log in",
            "The guard of this app's mail is on",
        ):
            assert f"[{name}] {line}" in caplog.text


def test_what_a_thread_says_is_about_the_app_of_its_maker(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
):
    apps = [make_app(tmp_path / name, MAIL_URL="inbox://") for name in ("shop", "blog")]
    for app in apps:
        Mail(app)
    shop, _blog = apps
    say = partial(log.log.warning, "Something is wrong.")
    with about(shop):
        in_courier = Thread(target=say)
        beside_it = DaemonExecutor().submit(say)
    with shop.app_context():
        in_view = Thread(target=say)
    for one in (in_courier, in_view):
        one.start()
        one.join()
    beside_it.result()
    said = [(WARNING, "[shop] Something is wrong.")] * 3
    assert _said(caplog, "flask_outbox") == said


def test_what_a_transport_says_names_the_app(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
):
    with JournalSmtp(tmp_path / "journal") as server:
        server.behaviour = Behaviour(most_connections=1)
        config = {"MAIL_URL": url_of(server), "TESTING": True}
        shop = make_app(tmp_path / "shop", **config, MAIL_SUPPRESS_SEND=False)
        blog = make_app(tmp_path / "blog", **config)
        mail, _other = Mail(shop), Mail(blog)
        for _ in range(20):
            mail.send(Message("Hello", ["ada@example.org"], "Hello", sender=SENDER))
        assert mail.drain(WAIT_SECONDS)
    assert _names(caplog) == {"shop"}
    assert "If the server allows no more" in caplog.text


def test_the_inbox_line_shows_no_password(
    caplog: pytest.LogCaptureFixture,
):
    url = "postgresql://shop:hunter2@db.example.com/outbox"
    log.log_inbox_in_use(url, None, testing=False)
    log.log_inbox_in_use(url, "/outbox", testing=True)
    text = (
        "No mail leaves this app: it is stored in the dev inbox, "
        "postgresql://shop:***@db.example.com/outbox. To send it, set MAIL_URL. "
    )
    assert _said(caplog, "flask_outbox") == [
        (
            WARNING,
            f'{text}To see it in the browser, set OUTBOX_DASHBOARD = "local".',
        ),
        (INFO, f"{text}See it in the browser: /outbox/inbox"),
    ]


def test_control_and_bidi_characters_are_escaped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log.listen()
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
    monkeypatch.setattr(log, "repeats", Repeats(hand))
    log.listen()
    return hand


GOES_ON: list[tuple[Any, dict[str, Any], str, Any, dict[str, Any]]] = [
    (
        signals.lane_paused,
        {"lane": "default", "seconds": 1.0},
        "reason",
        signals.lane_resumed,
        {"lane": "default"},
    ),
    (
        signals.courier_stalled,
        {"courier": "C1"},
        "error",
        signals.message_began,
        {"message_id": ID, "attempt": 1, "courier": "C1", "lane": "default"},
    ),
    (signals.notifier_stalled, {}, "error", signals.notifier_resumed, {}),
]


@pytest.mark.parametrize(("signal", "payload", "field", "end", "ended"), GOES_ON)
def test_an_ongoing_problem_is_logged_once_on_change_and_every_five_minutes(
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
            signals.emit(signal, app, **payload, **{field: why})
            hand.seconds += 1
        return [one.getMessage() for one in caplog.records]

    assert len(goes_on(20, "Nothing listens.")) == 1
    (changed,) = goes_on(20, "The disk is full.")
    assert "The disk is full." in changed
    (again,) = goes_on(300, "The disk is full.")
    assert again.endswith(" Repeated 299 times.")
    with caplog.at_level(WARNING, "flask_outbox"):  # it ends unsaid, too
        signals.emit(end, app, **ended)
    (anew,) = goes_on(20, "The disk is full.")
    assert "The same" not in anew


def test_repeats_are_limited_for_each_app(
    caplog: pytest.LogCaptureFixture, hand: Hand
) -> None:
    shop, blog = Flask("shop"), Flask("blog")
    for app in (shop, blog, shop, blog):
        signals.emit(
            signals.lane_paused, app, lane="default", reason="Down.", seconds=1.0
        )
    assert len(_said(caplog, "flask_outbox")) == 2
