"""Send email from Flask without making anyone wait, and without losing any."""

from typing import TYPE_CHECKING, Any

from .alerts import Alert, AlertKind
from .delivery import Outcome, Reply, Report, State
from .errors import (
    AccountTrouble,
    AddressError,
    AppUnknown,
    AttachmentError,
    BatchInterrupted,
    BatchNotFound,
    ConfigError,
    DeliveryError,
    HeaderError,
    InterceptorError,
    KeyMissing,
    KeyRefused,
    LeaseLost,
    MessageError,
    MessageNotFound,
    MessageStopped,
    MoveRefused,
    OutboxError,
    OutboxUnavailable,
    SchemaError,
    SensitiveContent,
    SigningError,
    StoreError,
    TemplateError,
    Throttled,
    TransitionRefused,
    TransportDown,
    TransportError,
)
from .events import Event, EventKind
from .extension import Mail
from .feedback import Fate, Feedback
from .message import Address, Attachment, Template
from .sending.options import SendOptions
from .signals import email_dispatched
from .templating import Message
from .transports.base import Transport

if TYPE_CHECKING:
    from .outbox import add_tables
    from .outbox.records import (
        Attempt,
        BatchReceipt,
        BatchRecord,
        BatchState,
        CourierRecord,
        Failure,
        LaneRecord,
        MessageRecord,
        MessageSummary,
        OutboxStatus,
        Page,
        PersonErased,
        Receipt,
        Recipient,
        Search,
        Suppression,
        SuppressionSync,
        Unerased,
    )

__all__ = [
    "AccountTrouble",
    "Address",
    "AddressError",
    "Alert",
    "AlertKind",
    "AppUnknown",
    "Attachment",
    "AttachmentError",
    "Attempt",
    "BatchInterrupted",
    "BatchNotFound",
    "BatchReceipt",
    "BatchRecord",
    "BatchState",
    "ConfigError",
    "CourierRecord",
    "DeliveryError",
    "Event",
    "EventKind",
    "Failure",
    "Fate",
    "Feedback",
    "HeaderError",
    "InterceptorError",
    "KeyMissing",
    "KeyRefused",
    "LaneRecord",
    "LeaseLost",
    "Mail",
    "Message",
    "MessageError",
    "MessageNotFound",
    "MessageRecord",
    "MessageStopped",
    "MessageSummary",
    "MoveRefused",
    "OutboxError",
    "OutboxStatus",
    "OutboxUnavailable",
    "Outcome",
    "Page",
    "PersonErased",
    "Receipt",
    "Recipient",
    "Reply",
    "Report",
    "SchemaError",
    "Search",
    "SendOptions",
    "SensitiveContent",
    "SigningError",
    "State",
    "StoreError",
    "Suppression",
    "SuppressionSync",
    "Template",
    "TemplateError",
    "Throttled",
    "TransitionRefused",
    "Transport",
    "TransportDown",
    "TransportError",
    "Unerased",
    "add_tables",
    "email_dispatched",
]


if not TYPE_CHECKING:  # which would take any misspelt name

    def __getattr__(name: str) -> Any:
        """What an app that has only been set up does without is imported when it is
        first asked for.
        """
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from . import outbox
        from .outbox import records

        return getattr(outbox if name == "add_tables" else records, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
