"""Routing: by which transport a message leaves, decided when it is handed over."""

from __future__ import annotations

from email.message import Message as StandardMessage
from typing import Any

from .config import DEFAULT, Settings, listed
from .errors import MessageError
from .message import Message


def route(
    message: Message | StandardMessage,
    asked: str | None,
    tag: str | None,
    settings: Settings,
) -> str:
    """The name of the transport that was asked for, or that ``MAIL_ROUTE`` answers.

    Raises `MessageError` for a name that no transport has.
    """
    if asked is not None:
        return _known(asked, settings, f"there is no transport {asked!r}")
    answer = _answer(message, tag, settings)
    if answer is None:
        return DEFAULT
    return _known(answer, settings, f"MAIL_ROUTE answered {answer!r}")


def _answer(
    message: Message | StandardMessage, tag: str | None, settings: Settings
) -> str | None:
    if settings.route is None:
        return None
    if callable(settings.route):
        return settings.route(message, tag)
    return None if tag is None else settings.route.get(tag)


def _known(name: Any, settings: Settings, problem: str) -> str:
    if isinstance(name, str) and name in settings.transports:
        return name
    raise MessageError(
        "transport", f"{problem}: this app has {listed(settings.transports)}."
    )
