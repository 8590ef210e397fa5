"""Leaving: whoever gets a mail to many can end that with one click (RFC 8058)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from email.message import Message as StandardMessage
from email.utils import getaddresses

from ..errors import ConfigError, MessageError
from ..message import Address, AddressLike, Message
from ..message.copies import copied

Link = Callable[[str, str], str]
"""Makes the address of the page where an address leaves a list."""

ONE_CLICK = "List-Unsubscribe=One-Click"
"""What a mailbox provider posts there (RFC 8058 section 3.1)."""

IN_TEMPLATES = "unsubscribe_url"
"""What a template calls the link."""

LINK, POST = "List-Unsubscribe", "List-Unsubscribe-Post"


def with_way_out(
    message: Message | StandardMessage, list: str, link: Link
) -> Message | StandardMessage:
    """A copy of ``message`` with the headers by which its recipient leaves ``list``.

    A template that is still to be rendered gets the link as `IN_TEMPLATES`, whatever
    its context has under this name.
    Raises `MessageError` for a message to more than one, or with such a header of its
    own.
    """
    _refuse_own(message)
    url = link(_only_recipient(message), list)
    new = copied(message)
    for name, value in ((LINK, f"<{url}>"), (POST, ONE_CLICK)):
        if isinstance(new, Message):
            new.extra_headers[name] = value
        else:
            new[name] = value
    if isinstance(new, Message) and new.template is not None:
        context = {**new.template.context, IN_TEMPLATES: url}
        new.template = replace(new.template, context=context)
    return new


def no_link(_address: str, _list: str) -> str:
    """Raise, where there is no page to lead to."""
    raise ConfigError(
        "There is no page to unsubscribe on: set OUTBOX_UNSUBSCRIBE_PATH."
    )


def _refuse_own(message: Message | StandardMessage) -> None:
    names = message.extra_headers if isinstance(message, Message) else message.keys()
    for name in names:
        if str(name).lower() in (LINK.lower(), POST.lower()):
            raise MessageError(
                "unsubscribe", f"the message has a {name} of its own: leave out either."
            )


def _only_recipient(message: Message | StandardMessage) -> str:
    everyone = dict.fromkeys(
        Address.parse(one, "recipients").spec for one in _recipients(message)
    )
    if len(everyone) == 1:
        return next(iter(everyone))
    raise MessageError(
        "unsubscribe",
        f"the message has {len(everyone)} recipients, and its link would have any of "
        "them unsubscribe the same one. Send each a message of their own.",
    )


def _recipients(message: Message | StandardMessage) -> Iterator[AddressLike]:
    if isinstance(message, Message):
        yield from (*message.recipients, *message.cc, *message.bcc)
    else:
        for name in ("To", "Cc", "Bcc"):
            values = [str(value) for value in message.get_all(name, [])]
            yield from (address for _, address in getaddresses(values) if address)
