"""What a person composes: a message, its addresses and its attachments."""

from .addresses import Address, AddressLike, comparable
from .attachment import Attachment
from .label import check_label
from .message import Message

__all__ = [
    "Address",
    "AddressLike",
    "Attachment",
    "Message",
    "check_label",
    "comparable",
]
