"""The headers by which recipients and their providers object to a message.

With some a recipient unsubscribes by one click (RFC 8058); others ask mailbox providers
to pass complaints on (RFC 9477).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from email.message import Message as StandardMessage
from email.utils import getaddresses
from typing import Protocol

from ..bounce_address import BounceAddress
from ..errors import ConfigError, MessageError
from ..message import Address, AddressLike, Message
from ..message.message import copied, unrendered


class Link(Protocol):
    """Makes the link by which an address unsubscribes from a list."""

    def __call__(self, address: str, list: str, locale: str | None = None, /) -> str:
        """The link; its page is in ``locale`` if it can be, else as the browser asks.

        Raises `MessageError` and `ConfigError`.
        """


ONE_CLICK = "List-Unsubscribe=One-Click"
"""What a mailbox provider posts there (RFC 8058 section 3.1)."""

TEMPLATE_VARIABLE = "unsubscribe_url"
"""The name of the link in templates."""

LINK, POST = "List-Unsubscribe", "List-Unsubscribe-Post"

COMPLAINTS_TO, FEEDBACK_ID = "CFBL-Address", "CFBL-Feedback-ID"


def with_unsubscribe_headers(
    message: Message | StandardMessage, list: str, link: Link
) -> Message | StandardMessage:
    """A copy of ``message`` whose headers let its one recipient leave ``list``.

    A template that is still to be rendered gets the link as `TEMPLATE_VARIABLE`,
    whatever its context has under this name. Raises `MessageError` for several
    recipients, or where the message has such a header of its own.
    """
    _refuse_own(message)
    url = link(_only_recipient(message), list, _language(message))
    new = copied(message)
    headers = _headers_of(new)
    headers[LINK], headers[POST] = f"<{url}>", ONE_CLICK
    if waits := unrendered(new):
        template = waits[1]
        context = {**template.context, TEMPLATE_VARIABLE: url}
        waits[0].template = replace(template, context=context)
    return new


def with_complaint_headers(
    message: Message | StandardMessage, message_id: str, bounces: BounceAddress
) -> Message | StandardMessage:
    """A copy of ``message`` that says where complaints go, and which mail it is.

    The second header's token also tells whose complaint it is where a provider removes
    all addresses from what it reports. Headers of the user's own are left as they are.
    """
    new = copied(message)
    headers, given = _headers_of(new), {one.lower() for one in _names_of(new)}
    for name, value in (
        (COMPLAINTS_TO, f"{bounces.of(message_id)}; report=arf"),
        (FEEDBACK_ID, bounces.token(message_id)),
    ):
        if name.lower() not in given:
            headers[name] = value
    return new


def _headers_of(
    message: Message | StandardMessage,
) -> dict[str, str] | StandardMessage:
    """The headers to which others can be added."""
    return message.extra_headers if isinstance(message, Message) else message


def _names_of(message: Message | StandardMessage) -> list[str]:
    return [str(name) for name in _headers_of(message).keys()]  # noqa: SIM118


def no_link(_address: str, _list: str, _locale: str | None = None, /) -> str:
    """Raise `ConfigError`: the app has no unsubscribe page."""
    raise ConfigError("The app has no unsubscribe page: set OUTBOX_UNSUBSCRIBE_PATH.")


def _language(message: Message | StandardMessage) -> str | None:
    """The language of the message, if it is known."""
    if isinstance(message, StandardMessage):
        return None
    return message.locale if message.template is None else message.template.locale


def _refuse_own(message: Message | StandardMessage) -> None:
    for name in _names_of(message):
        if name.lower() in (LINK.lower(), POST.lower()):
            raise MessageError(
                "unsubscribe",
                f"the message already has a {name} header: remove one of the two.",
            )


def _only_recipient(message: Message | StandardMessage) -> str:
    everyone = dict.fromkeys(
        Address.parse(one, "recipients").spec for one in _recipients(message)
    )
    if len(everyone) == 1:
        return next(iter(everyone))
    raise MessageError(
        "unsubscribe",
        f"the message has {len(everyone)} recipients, but its link can unsubscribe "
        "only one of them. Send each recipient a separate message.",
    )


def _recipients(message: Message | StandardMessage) -> Iterator[AddressLike]:
    if isinstance(message, Message):
        yield from (*message.recipients, *message.cc, *message.bcc)
    else:
        for name in ("To", "Cc", "Bcc"):
            values = [str(value) for value in message.get_all(name, [])]
            yield from (address for _, address in getaddresses(values) if address)
