"""Send email from Flask without making anyone wait, and without losing any."""

from .delivery import Outcome, Reply, Report, State
from .errors import (
    AddressError,
    AppUnknown,
    AttachmentError,
    BatchInterrupted,
    BatchNotFound,
    ConfigError,
    DeliveryError,
    HeaderError,
    InterceptorError,
    LeaseLost,
    MessageError,
    MessageNotFound,
    MessageStopped,
    OutboxError,
    OutboxUnavailable,
    SchemaError,
    SigningError,
    StoreError,
    TemplateError,
    TransitionRefused,
    TransportDown,
    TransportError,
)
from .events import email_dispatched
from .extension import Mail
from .handover import Wishes
from .message import Address, Attachment, Message
from .outbox.batch_records import BatchReceipt, BatchRecord, BatchState, Failure
from .outbox.records import MessageRecord, Receipt, Suppression
from .outbox.schema import add_tables
from .story import Event

__all__ = [
    "Address",
    "AddressError",
    "AppUnknown",
    "Attachment",
    "AttachmentError",
    "BatchInterrupted",
    "BatchNotFound",
    "BatchReceipt",
    "BatchRecord",
    "BatchState",
    "ConfigError",
    "DeliveryError",
    "Event",
    "Failure",
    "HeaderError",
    "InterceptorError",
    "LeaseLost",
    "Mail",
    "Message",
    "MessageError",
    "MessageNotFound",
    "MessageRecord",
    "MessageStopped",
    "OutboxError",
    "OutboxUnavailable",
    "Outcome",
    "Receipt",
    "Reply",
    "Report",
    "SchemaError",
    "SigningError",
    "State",
    "StoreError",
    "Suppression",
    "TemplateError",
    "TransitionRefused",
    "TransportDown",
    "TransportError",
    "Wishes",
    "add_tables",
    "email_dispatched",
]
