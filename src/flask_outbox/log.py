"""The outbox's log: signals as log lines, with repeats limited, as text or JSON."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TextIO
from weakref import WeakKeyDictionary

from . import signals
from .errors import EventsRefused, redacted
from .events import ATTEMPT_ENDS, AttemptEnd
from .feedback import Fate, as_reported
from .humanize import counted, duration
from .log_context import FIELDS, NOBODY, about, add_context
from .message.text import plain, shown
from .outbox import shown_url

EVERY_SECONDS = 300.0
"""How often an unchanged problem is logged again."""

Clock = Callable[[], float]


@dataclass(slots=True)
class _Repeated:
    what: str
    at: float
    held_back: int = 0


class Repeats:
    """Limits repeated log lines about the same thing, so that a problem fills no log.

    It keeps no app alive. If two threads log the same at once, both lines may be
    written; a line with new content is never held back.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._said: WeakKeyDictionary[object, dict[str, _Repeated]] = (
            WeakKeyDictionary()
        )

    def held_back(self, app: object, about: str, what: str) -> int | None:
        """How often the text was held back since it was last logged, or None to hold it
        back now.

        A text that differs from the last about the same thing is logged at once.
        """
        said = self._said.setdefault(app, {})
        last, now = said.get(about), self._clock()
        if last is None or last.what != what:
            said[about] = _Repeated(what, now)
            return 0
        if now - last.at < EVERY_SECONDS:
            last.held_back += 1
            return None
        said[about] = _Repeated(what, now)
        return last.held_back

    @property
    def any(self) -> bool:
        """Whether an app has had a problem."""
        return bool(self._said)

    def over(self, app: object, about: str) -> None:
        """End a problem, so that it is logged at once if it occurs again."""
        if self._said:
            self._said.get(app, {}).pop(about, None)


log: logging.Logger = logging.getLogger("flask_outbox")
dialogue_log: logging.Logger = logging.getLogger("flask_outbox.dialogue")

repeats: Repeats = Repeats()
"""The present problems of each app."""


def _prepare_record(record: logging.LogRecord) -> bool:
    """Name the app, and escape control characters: people and servers write what they
    like.
    """
    said = record.getMessage()
    if (told := add_context(record) + plain(said)) != said:
        record.msg, record.args = told, ()
    return True


def listen() -> None:
    """Log each signal; calling it again changes nothing."""
    log.addFilter(_prepare_record)
    dialogue_log.addFilter(_prepare_record)
    signals.log_when(_enqueued_wanted, signals.message_enqueued, _enqueued)
    signals.log_when(_began_wanted, signals.message_began, _began)
    signals.message_rendered.connect(_rendered)
    signals.message_suppressed.connect(_suppressed)
    signals.message_changed.connect(_changed)
    signals.message_stopped.connect(_stopped)
    signals.message_rescued.connect(_rescued)
    for end in ATTEMPT_ENDS.values():
        signals.log_when(partial(_end_wanted, end), end.signal, partial(_ended, end))
    signals.batch_paused.connect(_batch_paused)
    signals.batch_resumed.connect(_batch_resumed)
    signals.batch_cancelled.connect(_batch_cancelled)
    signals.message_resent.connect(_resent)
    signals.message_sent_again.connect(_sent_again)
    signals.outbox_pruned.connect(_pruned)
    signals.fate_changed.connect(_fate_changed)
    signals.address_suppressed.connect(_address_suppressed)
    signals.unsubscribed.connect(_unsubscribed)
    signals.resubscribed.connect(_resubscribed)
    signals.lease_lost.connect(_lease_lost)
    signals.lane_paused.connect(_lane_paused)
    signals.lane_resumed.connect(_lane_resumed)
    signals.alert_raised.connect(_alert_raised)
    signals.alert_ended.connect(_alert_ended)
    signals.courier_started.connect(_courier_started)
    signals.courier_stopped.connect(_courier_stopped)
    signals.courier_stalled.connect(_courier_stalled)
    signals.notifier_stalled.connect(_notifier_stalled)
    signals.notifier_resumed.connect(_notifier_resumed)


class JsonFormatter(logging.Formatter):
    """Formats each record as one line: a JSON object, in ASCII.

    It has ``time`` (ISO 8601, UTC), ``level``, ``logger`` and ``message``. A record of
    ours also has, where they are known, ``app``, ``message_id``, ``lane``, ``courier``,
    ``attempt``, ``outcome``, ``batch`` and ``trace_id``. ``exception`` is a traceback.
    Passwords in URLs are hidden.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        at = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": at.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        for field in ("app", *FIELDS):
            value = getattr(record, field, NOBODY)
            if value != NOBODY:
                line[field] = value
        if record.exc_info:
            line["exception"] = redacted(self.formatException(record.exc_info))
        if record.stack_info:
            line["stack"] = redacted(self.formatStack(record.stack_info))
        return json.dumps(line, default=str)


class _JsonHandler(logging.StreamHandler[TextIO]):
    """Writes our lines to standard error, as ``OUTBOX_LOG = "json"`` asks."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())


def writes_json() -> bool:
    """Whether `log_as_json` decided where the log goes."""
    return any(isinstance(one, _JsonHandler) for one in log.handlers)


def log_as_json() -> None:
    """Write the log to standard error as JSON, unless logging is configured already.

    Calling it again changes nothing.
    """
    if writes_json():
        return
    if log.hasHandlers():
        log.warning(
            'OUTBOX_LOG = "json" has no effect, since logging was configured before: '
            "give your own handler the formatter flask_outbox.log.JsonFormatter."
        )
        return
    log.addHandler(_JsonHandler())
    log.propagate = False


def log_dialogues() -> None:
    """Print each SMTP dialogue, as ``MAIL_DEBUG`` asks."""
    dialogue_log.setLevel(logging.DEBUG)
    if not dialogue_log.hasHandlers():
        dialogue_log.addHandler(logging.StreamHandler())


def log_inbox_in_use(url: str, dashboard: str | None, *, testing: bool) -> None:
    """Log that no mail leaves this app, so that nobody waits for it.

    ``dashboard`` is the path of the dashboard; None if there is none.
    """
    look = 'To see it in the browser, set OUTBOX_DASHBOARD = "local".'
    if dashboard is not None:
        look = f"See it in the browser: {dashboard}/inbox"
    log.log(
        logging.INFO if testing else logging.WARNING,
        "No mail leaves this app: it is stored in the dev inbox, %s. To send it, set "
        "MAIL_URL. %s",
        shown_url(url),
        look,
    )


def log_dashboard_address(address: str | None, trouble: str) -> None:
    """Log the dashboard's address with its token, or why there is none."""
    if address is None:
        log.warning(
            "The dashboard cannot be opened: its token, which OUTBOX_DASHBOARD = "
            '"local" needs outside debug mode, cannot be stored in the app\'s instance '
            "folder. %s.",
            trouble,
        )
    else:
        log.warning("Open the dashboard, in a browser on this machine: %s", address)


def warn_of_missing_login(lane: str, place: str, missing: str) -> None:
    """Log that no login is made, though half of one is set."""
    log.warning(
        "Lane %s does not log in at %s: it has no %s. Set both MAIL_USERNAME and "
        "MAIL_PASSWORD, or neither.",
        lane,
        place,
        missing,
    )


def warn_of_open_files(files: Sequence[str]) -> None:
    """Log which files of the outbox every user of this machine can read or write."""
    log.warning(
        "Every user of this machine can read or change the mail in the outbox. Remove "
        "their permissions with: chmod o= %s",
        " ".join(files),
    )


def log_guard(guard: str, *, testing: bool) -> None:
    """Log which recipients this app does not mail, so that nobody waits for mail."""
    level = logging.INFO if testing else logging.WARNING
    log.log(level, "The guard of this app's mail is on. %s", guard)


def warn_of_missing_extra(template: str, extra: str, without: str) -> None:
    """Log what is missing from a mail without ``extra``; once for each template."""
    log.warning(
        "The mail template %s %s. Install the extra with: pip install "
        '"flask-outbox[%s]"',
        template,
        without,
        extra,
    )


def warn_of_refused_events(app: object, transport: str, refusal: EventsRefused) -> None:
    """Log that a request to the page of a provider's events was not taken."""
    held_back = repeats.held_back(
        app, f"events {transport} {refusal.reason}", refusal.reason
    )
    if held_back is not None:
        with about(app):
            log.warning(
                "A request with events for transport %s was answered %d: %s%s.%s",
                transport,
                refusal.status,
                refusal.reason,
                f" ({shown(refusal.detail)})" if refusal.detail else "",
                _as_before(held_back),
            )


def warn_of_unknown_events(
    app: object, transport: str, kinds: Mapping[str, int]
) -> None:
    """Log which kinds of event were ignored, for they are unknown."""
    names = ", ".join(shown(one) for one in sorted(kinds)[:10])
    held_back = repeats.held_back(app, f"unknown events {transport}", names)
    if held_back is not None:
        with about(app):
            log.warning(
                "Events for transport %s are of kinds that are unknown, and ignored: "
                "%s.%s",
                transport,
                names,
                _as_before(held_back),
            )


def note_readiness(app: object, trouble: str) -> None:
    """Log why a probe was told that no mail can be enqueued; "" ends that trouble."""
    if not trouble:
        repeats.over(app, "ready")
        return
    held_back = repeats.held_back(app, "ready", trouble)
    if held_back is not None:
        with about(app):
            log.error(
                "A probe was told that no mail can be enqueued: %s%s",
                trouble,
                _as_before(held_back),
            )


def _replies(replies: Mapping[str, str]) -> str:
    return "; ".join(f"{address}: {reply}" for address, reply in replies.items())


def _enqueued_wanted() -> bool:
    return log.isEnabledFor(logging.INFO)


def _enqueued(
    _app: object, message_id: str, duplicate: bool, seconds: float, **_: Any
) -> None:
    if duplicate:
        log.info("Message %s was enqueued before with the same key.", message_id)
    else:
        log.debug("Message %s stored in %.1f ms.", message_id, seconds * 1000)


def _began_wanted() -> bool:
    return repeats.any or log.isEnabledFor(logging.DEBUG)


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


def _end_wanted(end: AttemptEnd) -> bool:
    return log.isEnabledFor(end.log_level) or dialogue_log.isEnabledFor(logging.DEBUG)


def _ended(end: AttemptEnd, _app: object, message_id: str, **payload: Any) -> None:
    """Log one way in which an attempt can end, and its dialogue."""
    if log.isEnabledFor(end.log_level):
        text = _how_it_ended(end, message_id, **payload)
        outcome = {"outcome": end.kind.value}
        log.log(end.log_level, "Message %s %s", message_id, text, extra=outcome)
    if dialogue_log.isEnabledFor(logging.DEBUG):
        for line in payload["dialogue"]:
            dialogue_log.debug("%s %s", message_id, line)


def _how_it_ended(
    end: AttemptEnd,
    message_id: str,
    attempt: int,
    replies: Mapping[str, str],
    reason: str | None,
    hidden: bool,
    suppressed: bool,
    **_: Any,
) -> str:
    retry = f"Retry it with: flask outbox retry {message_id}"
    if hidden:
        retry = (
            "It was sensitive, so its content was removed: have the app send a new one."
        )
    elif suppressed:
        retry = (
            "Those who refused it are suppressed from now on: to retry it, end that "
            "first, with: flask outbox unsuppress ADDRESS"
        )
    said = _replies(replies)
    return end.log_format.format(
        message_id=message_id,
        attempt=attempt,
        replies=said,
        sentence=_sentence(said),
        reason=reason,
        because=f": {reason}" if reason else "",
        retry=retry,
    )


def _sentence(text: str) -> str:
    return f"{text}." if text and text[-1] not in ".!?" else text


def _suppressed(
    _app: object,
    message_id: str,
    replies: Mapping[str, str],
    finished: bool,
    **_: Any,
) -> None:
    log.info(
        "Message %s is suppressed for %s: %s",
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


def _batch_paused(_app: object, batch: str, **_: Any) -> None:
    log.warning("Batch %s is paused: none of its messages is sent.", batch)


def _batch_resumed(_app: object, batch: str, **_: Any) -> None:
    log.warning("Batch %s is resumed.", batch)


def _batch_cancelled(_app: object, batch: str, **_: Any) -> None:
    log.warning("Batch %s is cancelled: its unsent messages will not be sent.", batch)


def _resent(_app: object, message_id: str, **_: Any) -> None:
    log.warning("Message %s is sent again, though it may have arrived.", message_id)


def _sent_again(_app: object, message_id: str, again_as: str, **_: Any) -> None:
    log.info("Message %s is sent again, as %s.", message_id, again_as)


def _pruned(_app: object, bodies: int, rows: int, **_: Any) -> None:
    log.info("Pruned: the content of %d messages, the record of %d.", bodies, rows)


_GOOD = {Fate.DELAYED, Fate.DELIVERED, Fate.OPENED, Fate.CLICKED}


def _fate_changed(
    _app: object,
    message_id: str,
    address: str,
    fate: Fate,
    reply: str | None,
    source: str,
    operator: bool,
    **_: Any,
) -> None:
    level = logging.DEBUG if fate in _GOOD else logging.INFO
    why = ""
    if operator:
        level, why = logging.WARNING, ", because of the sender's own set-up"
    log.log(
        level,
        "Message %s to %s: %s%s, %s%s",
        message_id,
        address,
        fate.replace("_", " "),
        why,
        as_reported(source),
        f": {reply}" if reply else "",
    )


def _address_suppressed(
    _app: object, address: str, list: str, reason: str, **_: Any
) -> None:
    log.info("%s is suppressed%s: %s", address, list and f" for {list}", reason)


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
            "Lane %s is paused; no message is lost. %s Next probe in %.1f s.%s",
            lane,
            reason,
            seconds,
            _as_before(held_back),
        )


def _as_before(held_back: int) -> str:
    """The end of a line that was held back so often."""
    return f" Repeated {counted(held_back, 'time')}." if held_back else ""


def _lane_resumed(app: object, lane: str, **_: Any) -> None:
    repeats.over(app, f"lane {lane}")
    log.warning("Lane %s is open again.", lane)


def _alert_raised(_app: object, words: str, reason: str, **_: Any) -> None:
    log.error("Alert: %s%s", words, reason and f" {reason}")


def _alert_ended(
    _app: object, words: str, began_at: datetime, ended_at: datetime, **_: Any
) -> None:
    lasted = duration((ended_at - began_at).total_seconds())
    log.warning("An alert is over after %s: %s", lasted, words)


def _courier_started(_app: object, courier: str, engine: str, **_: Any) -> None:
    log.info("Courier %s started (engine %s).", courier, engine)


def _courier_stopped(app: object, courier: str, **_: Any) -> None:
    repeats.over(app, f"courier {courier}")
    log.info("Courier %s stopped.", courier)


def _courier_stalled(app: object, courier: str, error: Exception, **_: Any) -> None:
    held_back = repeats.held_back(app, f"courier {courier}", str(error))
    if held_back is not None:
        log.error(
            "Courier %s cannot use the outbox and retries: %s%s",
            courier,
            error,
            _as_before(held_back),
        )


def _notifier_stalled(app: object, error: Exception, **_: Any) -> None:
    held_back = repeats.held_back(app, "notifier", str(error))
    if held_back is not None:
        log.error(
            "Couriers in other processes cannot be notified of new mail. It is stored, "
            "and they find it when they poll: %s%s",
            error,
            _as_before(held_back),
        )


def _notifier_resumed(app: object, **_: Any) -> None:
    repeats.over(app, "notifier")
    log.warning("Couriers in other processes are notified of new mail again.")
