"""Configuration: every key declared once, and one validated `Settings` made of them."""

from .convert import LOCAL, is_unset
from .dkim import DkimKey
from .key import Key
from .keys import KEYS
from .settings import Settings, placed
from .smtp import SmtpSettings
from .transports import DEFAULT, TransportSettings, listed, says_where

__all__ = [
    "DEFAULT",
    "KEYS",
    "LOCAL",
    "DkimKey",
    "Key",
    "Settings",
    "SmtpSettings",
    "TransportSettings",
    "is_unset",
    "listed",
    "placed",
    "says_where",
]
