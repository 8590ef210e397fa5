"""What a person composes: a message, its addresses and its attachments."""

from .addresses import Address, AddressLike, comparable
from .attachment import Attachment
from .label import check_label
from .message import Message
from .template import LOCALE_LENGTH, Rendered, Template, Templates, find_templates_by

__all__ = [
    "LOCALE_LENGTH",
    "Address",
    "AddressLike",
    "Attachment",
    "Message",
    "Rendered",
    "Template",
    "Templates",
    "check_label",
    "comparable",
    "find_templates_by",
]
