"""Configuration: every key declared once, and one validated `Settings` made of them."""

from .dkim import DkimKey
from .keys import KEYS, Key
from .settings import Settings
from .smtp import SmtpSettings
from .transports import DEFAULT, TransportSettings, listed

__all__ = [
    "DEFAULT",
    "KEYS",
    "DkimKey",
    "Key",
    "Settings",
    "SmtpSettings",
    "TransportSettings",
    "listed",
]
