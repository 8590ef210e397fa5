"""The content of a message, while it is kept."""

from __future__ import annotations

from ..errors import MessageNotFound
from ..outbox.store import Outbox


def content_of(outbox: Outbox, message_id: str) -> bytes:
    """What is said, as RFC 5322 bytes.

    Raises `MessageNotFound` once it was pruned, and as long as it is not rendered.
    """
    content = outbox.content(message_id)
    if content is None:
        template = outbox.get(message_id).template
        if template is not None:
            raise MessageNotFound(
                f"Message {message_id} has no content yet: a courier renders its "
                f"template {template.name!r} when it delivers it."
            )
        raise MessageNotFound(
            f"The content of message {message_id} was pruned (OUTBOX_KEEP_BODIES)."
        )
    return content
