"""Which adapter a transport's settings ask for."""

from __future__ import annotations

from ..config import SmtpSettings
from ..guard import Guard
from .base import Transport
from .inbox import InboxTransport
from .redirecting import RedirectingTransport
from .smtp import SmtpTransport


def transport_for(smtp: SmtpSettings | None, guard: Guard) -> Transport:
    """The adapter of a server, or of the dev inbox where there is none; not opened.

    What leaves by a server goes where ``guard`` lets it go.
    """
    if smtp is None:
        return InboxTransport()
    transport = SmtpTransport(smtp)
    return RedirectingTransport(transport, guard) if guard.redirect_to else transport
