"""Alerts: a courier looks for them now and then, and tells what is new."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from ..alerts import AlertNews
from ..config import WebhookEndpoint
from ..errors import StoreError
from ..outbox import Outbox

LOOK_SECONDS = 30.0
"""How often each courier looks. It begins after the first of these times: by then what
waited for a courier to start is on its way."""

MailAlert = Callable[[AlertNews], None]
"""Enqueues a mail about the news, unless that was done before."""

_log = logging.getLogger("flask_outbox")


class AlertWatch:
    """Finds what is new of an outbox's alerts, mails it, and queues webhooks of it.

    Any number of processes may do so: each news is told by one of them, and by another
    if that one is killed before it has called `note_told`.
    """

    def __init__(
        self,
        outbox: Outbox,
        endpoints: Mapping[str, WebhookEndpoint],
        give_up_seconds: float,
        mail: MailAlert | None,
    ) -> None:
        self._outbox = outbox
        self._endpoints = endpoints
        self._give_up_seconds = give_up_seconds
        self._mail = mail

    def look(self) -> list[AlertNews]:
        """The news that this process is to tell."""
        return self._outbox.look_for_alerts()

    def mail(self, news: AlertNews) -> None:
        """Have it mailed, if anybody is to be. Raises `StoreError`.

        A mail that can never be sent is logged: it keeps no one from being told in
        other ways.
        """
        if self._mail is None:
            return
        try:
            self._mail(news)
        except StoreError:
            raise
        except Exception:
            _log.exception("The mail about an alert was not sent: %s", news.alert.words)

    def note_told(self, news: AlertNews) -> None:
        """Note that it is told, and queue it for the endpoints that ask for it."""
        asking = [
            name for name, one in self._endpoints.items() if news.kind in one.kinds
        ]
        self._outbox.note_told(news, asking, self._give_up_seconds)
