"""Flask-Mail's signal and its namespace: the same signal as the outbox's own."""

from __future__ import annotations

from blinker import Namespace

from ..events import email_dispatched

signals = Namespace()
"""Flask-Mail's namespace, in which ``email-dispatched`` is."""

signals[email_dispatched.name] = email_dispatched

__all__ = ["email_dispatched", "signals"]
