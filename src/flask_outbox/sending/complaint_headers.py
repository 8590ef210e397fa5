"""The headers that ask mailbox providers for complaints (RFC 9477)."""

from __future__ import annotations

from email.message import Message as StandardMessage

from ..bounce_address import BounceAddress
from ..message import Message
from ..message.message import copied

ADDRESS, FEEDBACK_ID = "CFBL-Address", "CFBL-Feedback-ID"


def with_complaint_headers(
    message: Message | StandardMessage, message_id: str, bounces: BounceAddress
) -> Message | StandardMessage:
    """A copy of ``message`` that says where complaints go, and which mail it is.

    The second header's token also tells whose complaint it is where a provider removes
    all addresses from what it reports. Headers of the user's own are left as they are.
    """
    headers = {
        ADDRESS: f"{bounces.of(message_id)}; report=arf",
        FEEDBACK_ID: bounces.token(message_id),
    }
    new = copied(message)
    own = new.extra_headers if isinstance(new, Message) else new
    given = {str(name).lower() for name in own.keys()}  # noqa: SIM118
    for name, value in headers.items():
        if name.lower() not in given:
            own[name] = value
    return new
