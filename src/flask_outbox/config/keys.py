"""Every setting, declared once: here those of how mail is kept and worked."""

from __future__ import annotations

from ..patience import Patience
from .convert import (
    as_choice,
    as_list,
    as_onlookers,
    as_patience,
    as_seconds,
    as_secret,
    as_tag_counts,
    as_text,
    as_url_path,
    as_whole,
)
from .key import Key
from .mail_keys import MAIL_KEYS

DAY = 86_400.0

FIVE_DAYS = Patience(5 * DAY)

KEYS: tuple[Key, ...] = (
    *MAIL_KEYS,
    Key(
        "OUTBOX_URL",
        "str",
        None,
        "Where the outbox is kept, as an SQLAlchemy URL. A relative path of an SQLite "
        "file starts from the instance folder.",
        as_secret,
        "sqlite: outbox-NAME.db in the instance folder, NAME being the app's",
    ),
    Key(
        "OUTBOX_LISTEN_URL",
        "str",
        None,
        "The same database without PgBouncer in between, by which workers hear of mail "
        "at once: a pooler passes no notifications on (:doc:`/databases`).",
        as_secret,
        "as ``OUTBOX_URL``",
    ),
    Key(
        "OUTBOX_ENGINE",
        "'thread', 'external' or 'celery'",
        "thread",
        "Where couriers run: in a "
        "background thread of each process that sends, only in "
        "``flask outbox worker``, or in the workers of the app's own Celery app "
        "(:doc:`/celery`; needs ``flask-outbox[celery]``).",
        as_choice("thread", "external", "celery"),
    ),
    Key(
        "OUTBOX_DURABILITY",
        "'full' or 'process'",
        "full",
        "What a returned ``send()`` "
        "survives: a power cut, or only the end of the process.",
        as_choice("full", "process"),
    ),
    Key(
        "OUTBOX_CONCURRENCY",
        "int",
        10,
        "Messages that one courier delivers at a time by each transport.",
        as_whole(1, 1_000),
    ),
    Key(
        "OUTBOX_TAG_CONCURRENCY",
        "dict",
        {},
        "How many of these places the messages of a tag may take: "
        '``{"newsletter": 2}`` leaves the others to the rest of the mail.',
        as_tag_counts,
        "none is bounded",
    ),
    Key(
        "OUTBOX_LEASE_SECONDS",
        "seconds",
        20.0,
        "How long a courier that falls silent "
        "keeps its messages; it renews at a quarter of this.",
        as_seconds,
    ),
    Key(
        "OUTBOX_POLL_SECONDS",
        "seconds",
        None,
        "How often an idle courier looks for "
        "what other processes handed over or left behind.",
        as_seconds,
        "2; 0.25 in a worker that no PostgreSQL wakes",
    ),
    Key(
        "OUTBOX_GRACE_SECONDS",
        "seconds",
        10.0,
        "How long a courier that is told to stop may finish what it has begun.",
        as_seconds,
    ),
    Key(
        "OUTBOX_RENDER_TIMEOUT_SECONDS",
        "seconds",
        30.0,
        "How long a courier renders a template at most; a message that takes longer "
        "fails, and no other waits for it meanwhile.",
        as_seconds,
    ),
    Key(
        "OUTBOX_BACKOFF_BASE_SECONDS",
        "seconds",
        10.0,
        "The longest wait before the second attempt; it doubles with each further one.",
        as_seconds,
    ),
    Key(
        "OUTBOX_BACKOFF_CAP_SECONDS",
        "seconds",
        3_600.0,
        "The longest wait before any attempt.",
        as_seconds,
    ),
    Key(
        "OUTBOX_LANE_PAUSE_CAP_SECONDS",
        "seconds",
        30.0,
        "The longest wait between two probes of a transport that is down. After a "
        "rejected login it is sixty times as long: servers lock out who tries on.",
        as_seconds,
    ),
    Key(
        "OUTBOX_GIVE_UP_AFTER",
        "seconds, timedelta or dict",
        FIVE_DAYS,
        "How long a deferred message is tried, from when it was due first. A dict says "
        'it by tag, and ``""`` in it stands for all others: '
        '``{"login-code": 600, "": 172800}``.',
        as_patience(FIVE_DAYS),
        "5 days",
    ),
    Key(
        "OUTBOX_ON_UNKNOWN",
        "'resend' or 'hold'",
        "resend",
        "What to do with a message whose link was lost after the final dot.",
        as_choice("resend", "hold"),
    ),
    Key(
        "OUTBOX_UNKNOWN_WAIT_SECONDS",
        "seconds",
        300.0,
        "How long ``resend`` waits.",
        as_seconds,
    ),
    Key(
        "OUTBOX_KEEP_BODIES",
        "seconds or timedelta",
        7 * DAY,
        "How long the content of a finished message is kept.",
        as_seconds,
        "7 days",
    ),
    Key(
        "OUTBOX_KEEP_ROWS",
        "seconds or timedelta",
        90 * DAY,
        "How long a finished message's record and story are kept.",
        as_seconds,
        "90 days",
    ),
    Key(
        "OUTBOX_ONLY_TO",
        "str or list of str",
        None,
        "The addresses, and the domains as in ``@example.com``, that may be mailed: a "
        "list, or a string with commas. Who else a message is for is suppressed. For "
        "whatever is not production; see :doc:`staging`.",
        as_list,
        "everyone",
    ),
    Key(
        "OUTBOX_REDIRECT_TO",
        "str",
        None,
        "The address that all mail goes to instead, but for those in "
        "``OUTBOX_ONLY_TO``. For whatever is not production; see :doc:`staging`.",
        as_text,
        "nobody: mail goes to whom it is for",
    ),
    Key(
        "OUTBOX_UNSUBSCRIBE_PATH",
        "str",
        None,
        "Below which path the page is on which people unsubscribe, such as "
        "``/unsubscribe``; see :doc:`unsubscribe`.",
        as_url_path,
        "nowhere: there is no such page",
    ),
    Key(
        "OUTBOX_DASHBOARD",
        "'local' or callable",
        None,
        'Who may see the dashboard, and change what it shows: ``"local"`` for whoever '
        "asks from this machine (outside debug mode with the token in the log), or "
        "a function without arguments that is called in each request and answers True "
        "for whom it may be. See :doc:`dashboard`.",
        as_onlookers,
        "nobody: there is no dashboard",
    ),
    Key(
        "OUTBOX_DASHBOARD_PATH",
        "str",
        "/outbox",
        "Below which path the dashboard is.",
        as_url_path,
    ),
)
"""Every key that Flask-Outbox reads from ``app.config``."""
