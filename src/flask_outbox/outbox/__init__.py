"""The durable store of messages, in SQLite, PostgreSQL, MariaDB or MySQL.

Other packages import from here, from `records` (what the outbox takes and returns),
from `session` (messages in the app's own transaction) and from `transfer` (one outbox
into another). All other modules are private to this package.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .database_errors import Fault, concerns_all, fault_of
from .dialects import check_url, open_to_others, shown_url
from .ids import HIGHEST, ID_LENGTH, id_at, is_id, new_id

if TYPE_CHECKING:
    from .actions import MessageActions
    from .backlog import Backlog, Waiting
    from .batch_store import BatchStore, OnProgress, no_progress
    from .batches import BatchProgress
    from .claim import Began, Load, Record, Rendition
    from .database import Database
    from .ddl import add_tables
    from .due import DEFAULT_QUEUE
    from .enqueue import event_row
    from .measuring import Measurements
    from .notify import LANES, MAIL, Notifications, can_notify, notify_of_mail
    from .outbox import Outbox
    from .person import PersonStore
    from .prune import Pruned
    from .rekey import Rekeyed, Rekeying
    from .rescue import CLOCK_SLACK_SECONDS
    from .schema import REVISION, has_tables
    from .statements import Row
    from .stats import (
        DAY,
        MERGED_AFTER_SECONDS,
        MINUTE,
        TOTALS_WRAP,
        Bucket,
        Stats,
        stats_row,
    )
    from .suppressions import SOURCES, new_suppression
    from .survey import Survey, survey_database
    from .webhook_feed import Feed
    from .webhook_queue import Pause, WebhookAttempt, WebhookClaim
    from .webhook_store import WebhookStore

__all__ = [
    "CLOCK_SLACK_SECONDS",
    "DAY",
    "DEFAULT_QUEUE",
    "HIGHEST",
    "ID_LENGTH",
    "LANES",
    "MAIL",
    "MERGED_AFTER_SECONDS",
    "MINUTE",
    "REVISION",
    "SOURCES",
    "TOTALS_WRAP",
    "Backlog",
    "BatchProgress",
    "BatchStore",
    "Began",
    "Bucket",
    "Database",
    "Fault",
    "Feed",
    "Load",
    "Measurements",
    "MessageActions",
    "Notifications",
    "OnProgress",
    "Outbox",
    "Pause",
    "PersonStore",
    "Pruned",
    "Record",
    "Rekeyed",
    "Rekeying",
    "Rendition",
    "Row",
    "Stats",
    "Survey",
    "Waiting",
    "WebhookAttempt",
    "WebhookClaim",
    "WebhookStore",
    "add_tables",
    "can_notify",
    "check_url",
    "concerns_all",
    "event_row",
    "fault_of",
    "has_tables",
    "id_at",
    "is_id",
    "new_id",
    "new_suppression",
    "no_progress",
    "notify_of_mail",
    "open_to_others",
    "shown_url",
    "stats_row",
    "survey_database",
]

_LATER = {
    "actions": ("MessageActions",),
    "backlog": ("Backlog", "Waiting"),
    "batch_store": ("BatchStore", "OnProgress", "no_progress"),
    "batches": ("BatchProgress",),
    "claim": ("Began", "Load", "Record", "Rendition"),
    "database": ("Database",),
    "ddl": ("add_tables",),
    "due": ("DEFAULT_QUEUE",),
    "enqueue": ("event_row",),
    "notify": ("LANES", "MAIL", "Notifications", "can_notify", "notify_of_mail"),
    "measuring": ("Measurements",),
    "outbox": ("Outbox",),
    "person": ("PersonStore",),
    "prune": ("Pruned",),
    "rekey": ("Rekeyed", "Rekeying"),
    "rescue": ("CLOCK_SLACK_SECONDS",),
    "schema": ("REVISION", "has_tables"),
    "statements": ("Row",),
    "stats": (
        "DAY", "MERGED_AFTER_SECONDS", "MINUTE", "TOTALS_WRAP", "Bucket", "Stats",
        "stats_row",
    ),
    "suppressions": ("SOURCES", "new_suppression"),
    "survey": ("Survey", "survey_database"),
    "webhook_feed": ("Feed",),
    "webhook_queue": ("Pause", "WebhookAttempt", "WebhookClaim"),
    "webhook_store": ("WebhookStore",),
}  # fmt: skip
"""Module → the names of it that are imported when they are first asked for: an app that
has only been set up does without."""


if not TYPE_CHECKING:  # which would take any misspelt name

    def __getattr__(name: str) -> Any:
        for module, names in _LATER.items():
            if name in names:
                return getattr(import_module(f".{module}", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
