"""The words of the log: listens to the signals and says what happened, in one place."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from . import events
from .characters import plain
from .outbox.dialects import shown_url
from .repeats import Repeats
from .words import counted

log = logging.getLogger("flask_outbox")
dialogue_log = logging.getLogger("flask_outbox.dialogue")

repeats = Repeats()
"""What goes on in each app, so that it is not said at every try."""


def _as_it_is(record: logging.LogRecord) -> bool:
    """Have a line look like what it says: people and servers write what they like."""
    said = record.getMessage()
    if (told := plain(said)) != said:
        record.msg, record.args = told, ()
    return True


def listen() -> None:
    """Log what the signals say; calling it again changes nothing."""
    log.addFilter(_as_it_is)
    dialogue_log.addFilter(_as_it_is)
    events.message_enqueued.connect(_enqueued)
    events.message_began.connect(_began)
    events.message_rendered.connect(_rendered)
    events.message_sent.connect(_sent)
    events.message_deferred.connect(_deferred)
    events.message_failed.connect(_failed)
    events.message_unknown.connect(_unknown)
    events.message_released.connect(_released)
    events.message_suppressed.connect(_suppressed)
    events.message_changed.connect(_changed)
    events.message_stopped.connect(_stopped)
    events.message_rescued.connect(_rescued)
    for ended in (
        events.message_sent,
        events.message_deferred,
        events.message_failed,
        events.message_unknown,
        events.message_released,
    ):
        ended.connect(_dialogue)
    events.batch_paused.connect(_batch_paused)
    events.batch_resumed.connect(_batch_resumed)
    events.batch_cancelled.connect(_batch_cancelled)
    events.message_resent.connect(_resent)
    events.message_sent_again.connect(_sent_again)
    events.outbox_pruned.connect(_pruned)
    events.unsubscribed.connect(_unsubscribed)
    events.resubscribed.connect(_resubscribed)
    events.lease_lost.connect(_lease_lost)
    events.lane_paused.connect(_lane_paused)
    events.lane_resumed.connect(_lane_resumed)
    events.courier_started.connect(_courier_started)
    events.courier_stopped.connect(_courier_stopped)
    events.courier_stalled.connect(_courier_stalled)
    events.relay_stalled.connect(_relay_stalled)
    events.relay_resumed.connect(_relay_resumed)


def show_dialogues() -> None:
    """Print each SMTP dialogue, as ``MAIL_DEBUG`` asks."""
    dialogue_log.setLevel(logging.DEBUG)
    if not dialogue_log.hasHandlers():
        dialogue_log.addHandler(logging.StreamHandler())


def say_where_mail_stays(url: str, dashboard: str | None, *, testing: bool) -> None:
    """Say that nothing leaves this app, so that nobody waits for mail.

    ``dashboard`` is the path below which it can be looked at; None where it cannot.
    """
    look = 'Set OUTBOX_DASHBOARD = "local" to look at it in the browser.'
    if dashboard is not None:
        look = f"Look at it in the browser: {dashboard}/inbox"
    log.log(
        logging.INFO if testing else logging.WARNING,
        "No mail leaves this app: all of it is kept in the dev inbox, %s. Set MAIL_URL "
        "to send it. %s",
        shown_url(url),
        look,
    )


def say_how_the_dashboard_opens(address: str | None, trouble: str) -> None:
    """Tell the address with the token, or why there is none."""
    if address is None:
        log.warning(
            "The dashboard opens to nobody: its token cannot be kept in the app's "
            'instance folder. %s. Outside debug mode OUTBOX_DASHBOARD = "local" '
            "needs one.",
            trouble,
        )
    else:
        log.warning("The dashboard opens to a browser on this machine at %s", address)


def say_that_no_login_is_made(lane: str, place: str, missing: str) -> None:
    """Say that mail leaves without a login, though half of one is set."""
    log.warning(
        "Lane %s does not log in at %s: it has no %s. Set both MAIL_USERNAME and "
        "MAIL_PASSWORD, or neither.",
        lane,
        place,
        missing,
    )


def say_that_others_may_read(paths: Sequence[object]) -> None:
    """Say which files of the outbox every user of this machine gets at."""
    log.warning(
        "Every user of this machine may read or change the mail in the outbox: take "
        "their rights away with: chmod o= %s",
        " ".join(map(str, paths)),
    )


def say_that_the_guard_is_on(guard: str, *, testing: bool) -> None:
    """Say whom this app does not mail, so that nobody waits for mail."""
    level = logging.INFO if testing else logging.WARNING
    log.log(level, "The guard of this app's mail is on. %s", guard)


def say_that_an_extra_is_missing(template: str, extra: str, without: str) -> None:
    """Say what a mail template would be more with; for each it is said once."""
    log.warning(
        "The mail template %s %s. Install what is missing with: pip install "
        '"flask-outbox[%s]"',
        template,
        without,
        extra,
    )


def _replies(replies: Mapping[str, str]) -> str:
    return "; ".join(f"{address}: {reply}" for address, reply in replies.items())


def _enqueued(
    _app: object, message_id: str, duplicate: bool, seconds: float, **_: Any
) -> None:
    if duplicate:
        log.info("Message %s was handed over before under the same key.", message_id)
    else:
        log.debug("Message %s kept in %.1f ms.", message_id, seconds * 1000)


def _began(
    app: object, message_id: str, attempt: int, lane: str, courier: str, **_: Any
) -> None:
    repeats.over(app, f"courier {courier}")
    log.debug("Message %s: attempt %d begins on lane %s.", message_id, attempt, lane)


def _rendered(
    _app: object, message_id: str, template: str, version: str, **_: Any
) -> None:
    log.debug(
        "Message %s: template %s rendered, version %s.", message_id, template, version
    )


def _sent(
    _app: object, message_id: str, attempt: int, replies: Mapping[str, str], **_: Any
) -> None:
    log.info(
        "Message %s sent on attempt %d. %s", message_id, attempt, _replies(replies)
    )


def _deferred(
    _app: object, message_id: str, attempt: int, replies: Mapping[str, str], **_: Any
) -> None:
    log.warning(
        "Message %s: attempt %d put off, it will be tried again. %s",
        message_id,
        attempt,
        _replies(replies),
    )


def _failed(
    _app: object,
    message_id: str,
    replies: Mapping[str, str],
    reason: str | None,
    **_: Any,
) -> None:
    log.error(
        "Message %s failed%s. %s Retry it with: flask outbox retry %s",
        message_id,
        f": {reason}" if reason else "",
        _replies(replies),
        message_id,
    )


def _unknown(
    _app: object, message_id: str, replies: Mapping[str, str], **_: Any
) -> None:
    log.warning(
        "Message %s: the link was lost after the final dot, nobody can know whether it "
        "arrived (OUTBOX_ON_UNKNOWN). %s",
        message_id,
        _replies(replies),
    )


def _released(_app: object, message_id: str, reason: str, **_: Any) -> None:
    log.info("Message %s given back untried: %s", message_id, reason)


def _suppressed(
    _app: object,
    message_id: str,
    replies: Mapping[str, str],
    finished: bool,
    **_: Any,
) -> None:
    log.info(
        "Message %s is kept from %s: %s",
        message_id,
        "everyone" if finished else "some",
        _replies(replies),
    )


def _changed(
    _app: object, message_id: str, by: str, fields: Sequence[str], **_: Any
) -> None:
    log.debug("Message %s: %s changed %s.", message_id, by, ", ".join(fields))


def _stopped(_app: object, message_id: str, by: str, reason: str, **_: Any) -> None:
    log.info("Message %s is not sent: %s stopped it: %s", message_id, by, reason)


def _rescued(_app: object, message_id: str, dead: str, state: str, **_: Any) -> None:
    log.warning(
        "Message %s rescued from the dead courier %s: now %s.", message_id, dead, state
    )


def _dialogue(_app: object, message_id: str, dialogue: Sequence[str], **_: Any) -> None:
    for line in dialogue:
        dialogue_log.debug("%s %s", message_id, line)


def _batch_paused(_app: object, batch: str, **_: Any) -> None:
    log.warning("Batch %s is paused: nothing of it leaves.", batch)


def _batch_resumed(_app: object, batch: str, **_: Any) -> None:
    log.warning("Batch %s goes on.", batch)


def _batch_cancelled(_app: object, batch: str, **_: Any) -> None:
    log.warning("Batch %s is cancelled: what has not left of it never will.", batch)


def _resent(_app: object, message_id: str, **_: Any) -> None:
    log.warning("Message %s is sent once more: it may have arrived.", message_id)


def _sent_again(_app: object, message_id: str, again_as: str, **_: Any) -> None:
    log.info("Message %s is sent again, as %s.", message_id, again_as)


def _pruned(_app: object, bodies: int, rows: int, **_: Any) -> None:
    log.info("Pruned: the content of %d messages, the record of %d.", bodies, rows)


def _unsubscribed(_app: object, address: str, list: str, **_: Any) -> None:
    log.info("%s has unsubscribed from %s.", address, list)


def _resubscribed(_app: object, address: str, list: str, **_: Any) -> None:
    log.info("%s has subscribed to %s again.", address, list)


def _lease_lost(_app: object, message_id: str, courier: str, **_: Any) -> None:
    log.warning(
        "Courier %s lost its lease on message %s: another delivers it.",
        courier,
        message_id,
    )


def _lane_paused(app: object, lane: str, reason: str, seconds: float, **_: Any) -> None:
    held_back = repeats.held_back(app, f"lane {lane}", reason)
    if held_back is not None:
        log.error(
            "Lane %s is paused, no message is lost: %s Next probe in %.1f s.%s",
            lane,
            reason,
            seconds,
            _as_before(held_back),
        )


def _as_before(held_back: int) -> str:
    """How often the same was not said, after a line that says it again."""
    return f" The same as before, {counted(held_back, 'time')}." if held_back else ""


def _lane_resumed(app: object, lane: str, **_: Any) -> None:
    repeats.over(app, f"lane {lane}")
    log.warning("Lane %s is open again.", lane)


def _courier_started(_app: object, courier: str, engine: str, **_: Any) -> None:
    log.info("Courier %s works (engine %s).", courier, engine)


def _courier_stopped(app: object, courier: str, **_: Any) -> None:
    repeats.over(app, f"courier {courier}")
    log.info("Courier %s stopped.", courier)


def _courier_stalled(app: object, courier: str, error: Exception, **_: Any) -> None:
    held_back = repeats.held_back(app, f"courier {courier}", str(error))
    if held_back is not None:
        log.error(
            "Courier %s cannot go on and tries again: %s%s",
            courier,
            error,
            _as_before(held_back),
        )


def _relay_stalled(app: object, error: Exception, **_: Any) -> None:
    held_back = repeats.held_back(app, "relay", str(error))
    if held_back is not None:
        log.error(
            "Couriers elsewhere cannot be told of new mail, which is kept all the "
            "same, and find it when they look by themselves: %s%s",
            error,
            _as_before(held_back),
        )


def _relay_resumed(app: object, **_: Any) -> None:
    repeats.over(app, "relay")
    log.warning("Couriers elsewhere are told of new mail again.")
