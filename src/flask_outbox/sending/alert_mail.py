"""The mail about an alert."""

from __future__ import annotations

from ..alerts import Alert, AlertNews
from ..config import Settings
from ..humanize import clock, duration
from ..message import Message
from .options import PRIORITIES, SendOptions


def alert_mail(
    news: AlertNews, settings: Settings, app: str, outbox: str
) -> tuple[Message, SendOptions]:
    """The mail, and how it is sent: once, before other mail, and not by the transport
    that it is about.

    ``app`` is the app's name, and ``outbox`` the URL of its outbox to show.
    """
    message = Message(
        subject=f"[{app}] {_title(news.alert)}: {news.alert.words}",
        recipients=list(settings.alert_to),
        body=_body(news.alert, app, outbox),
        extra_headers={"Auto-Submitted": "auto-generated"},
    )
    options = SendOptions(
        key=f"outbox-{news.id}",
        priority=PRIORITIES[-1],
        transport=_transport(settings, news.alert.lane),
    )
    return message, options


def _title(alert: Alert) -> str:
    return "Alert" if alert.ended_at is None else "Over"


def _body(alert: Alert, app: str, outbox: str) -> str:
    facts = f"App: {app}\nOutbox: {outbox}\nBegan: {clock(alert.began_at)}"
    if alert.ended_at is not None:
        lasted = duration((alert.ended_at - alert.began_at).total_seconds())
        facts += f"\nEnded: {clock(alert.ended_at)}, after {lasted}"
        parts = [f"This is over: {alert.words}", facts]
    else:
        more = "'flask outbox status' says more. Another mail says when it is over."
        parts = [alert.words, alert.reason, facts, more]
    return "\n\n".join(one for one in parts if one) + "\n"


def _transport(settings: Settings, about: str | None) -> str | None:
    """The transport for alerts or, if it is the one that is down, another."""
    if about != settings.alert_transport:
        return settings.alert_transport
    return next(name for name in settings.transports if name != about)
