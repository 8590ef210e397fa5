"""The headers by which a recipient unsubscribes with one click (RFC 8058)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from email.message import Message as StandardMessage
from email.utils import getaddresses
from typing import Protocol

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
    for name, value in ((LINK, f"<{url}>"), (POST, ONE_CLICK)):
        if isinstance(new, Message):
            new.extra_headers[name] = value
        else:
            new[name] = value
    if waits := unrendered(new):
        template = waits[1]
        context = {**template.context, TEMPLATE_VARIABLE: url}
        waits[0].template = replace(template, context=context)
    return new


def no_link(_address: str, _list: str, _locale: str | None = None, /) -> str:
    """Raise `ConfigError`: the app has no unsubscribe page."""
    raise ConfigError("The app has no unsubscribe page: set OUTBOX_UNSUBSCRIBE_PATH.")


def _language(message: Message | StandardMessage) -> str | None:
    """The language of the message, if it is known."""
    if isinstance(message, StandardMessage):
        return None
    return message.locale if message.template is None else message.template.locale


def _refuse_own(message: Message | StandardMessage) -> None:
    names = message.extra_headers if isinstance(message, Message) else message.keys()
    for name in names:
        if str(name).lower() in (LINK.lower(), POST.lower()):
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
