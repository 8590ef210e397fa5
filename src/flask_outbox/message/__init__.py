"""What a person composes: a message, its addresses and its attachments."""

from .addresses import Address, AddressLike
from .attachment import Attachment
from .message import Message

__all__ = ["Address", "AddressLike", "Attachment", "Message"]
