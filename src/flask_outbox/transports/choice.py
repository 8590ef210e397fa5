"""Which adapter a transport's settings ask for."""

from __future__ import annotations

from ..config import SmtpSettings
from .base import Transport
from .inbox import InboxTransport
from .smtp import SmtpTransport


def transport_for(smtp: SmtpSettings | None) -> Transport:
    """The adapter of a server, or of the dev inbox where there is none; not opened."""
    return InboxTransport() if smtp is None else SmtpTransport(smtp)
