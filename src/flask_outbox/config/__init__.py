"""Configuration: every key declared once, and the validated `Settings` read from
them.
"""

from .convert import LOCAL, Key, is_transport_name, is_unset
from .dkim import DkimKey
from .encryption import KEY_BYTES, EncryptionKey, as_encryption_keys
from .events import EventSettings
from .keys import KEYS
from .settings import Settings, placed
from .smtp import SmtpSettings
from .transports import (
    DEFAULT,
    AdapterSettings,
    TransportReader,
    TransportSettings,
    listed,
    names_server,
)
from .url import InboxSettings, UrlSettings, is_loopback
from .webhooks import WebhookEndpoint

__all__ = [
    "DEFAULT",
    "KEYS",
    "KEY_BYTES",
    "LOCAL",
    "AdapterSettings",
    "DkimKey",
    "EncryptionKey",
    "EventSettings",
    "InboxSettings",
    "Key",
    "Settings",
    "SmtpSettings",
    "TransportReader",
    "TransportSettings",
    "UrlSettings",
    "WebhookEndpoint",
    "as_encryption_keys",
    "is_loopback",
    "is_transport_name",
    "is_unset",
    "listed",
    "names_server",
    "placed",
]
