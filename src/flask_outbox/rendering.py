"""Rendering: a message that waits as a template, as the bytes that are sent."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import Message as StandardMessage

from .errors import MessageError
from .message import Message, Templates
from .message.stored import Stored, restore
from .mime import Composed, compose


@dataclass(frozen=True, slots=True)
class Rendering:
    """What came of a template."""

    template: str
    """The template's name."""
    version: str
    """A short hash of the sources that it was made from."""
    composed: Composed


def render(
    stored: Stored, unique: str, templates: Templates, *, ascii_attachments: bool
) -> Rendering:
    """Render and compose what was stored.

    Raises `MessageError` for what a person must mend, and whatever else the app's own
    functions raise.
    """
    message = _restored(stored)
    template = message.template
    assert template is not None
    rendered = templates.render(template)
    composed = compose(
        message.filled(rendered), ascii_attachments=ascii_attachments, unique=unique
    )
    return Rendering(template.name, rendered.version, composed)


def _restored(stored: Stored) -> Message:
    try:
        return restore(stored)
    except MessageError:
        raise
    except Exception as error:
        raise MessageError(
            "template", f"what the outbox keeps of it cannot be read: {error!r}"
        ) from error


def rendered(
    message: Message | StandardMessage, templates: Templates
) -> Message | StandardMessage:
    """The message with nothing left to be rendered: itself, or a copy."""
    if isinstance(message, Message) and message.template is not None:
        return message.filled(templates.render(message.template))
    return message
