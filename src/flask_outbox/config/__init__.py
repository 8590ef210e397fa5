"""Configuration: every key declared once, and one validated `Settings` made of them."""

from .keys import KEYS, Key
from .settings import Settings
from .smtp import SmtpSettings

__all__ = ["KEYS", "Key", "Settings", "SmtpSettings"]
