"""What an app composes: a message, its addresses and its attachments."""

from .addresses import Address, AddressLike, comparable
from .attachment import Attachment
from .message import LOCALE_LENGTH, Message, Rendered, Template, Templates
from .text import check_label

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
]
