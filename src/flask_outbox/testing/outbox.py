"""The fixture ``outbox``: the messages that apps under test have sent, and
assertions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any, Self

from flask import Flask

from .. import signals
from ..app_state import state_of
from ..courier.rendering import render
from ..delivery import Report
from ..errors import MessageNotFound
from ..humanize import counted
from ..message import AddressLike
from ..runtime import Runtime
from ..sending.announce import to_test
from .mail import SentMessage
from .matching import Text, criteria, fitting_of, listing, why_not_nothing, why_not_sent

Several = Text | list[Text] | tuple[Text, ...]
"""A string or a compiled pattern, or a list of which each must be found."""

Whom = Text | AddressLike | list[Text | AddressLike] | tuple[Text | AddressLike, ...]
"""An address in any form that `Message` takes, a pattern, or a list of those."""


class RecordedOutbox:
    """What any app sends while the ``with`` block runs: the fixture ``outbox``.

    It has the messages that are stored in the apps' outboxes, in the order of the
    calls. A message sent twice under the same ``key`` is in it once, and one of a
    transaction that is not committed is not. What `Mail.send_now` delivered is in it
    too. Messages are read anew at each access.

    Messages that go to nobody, as they were suppressed or cancelled, are in `messages`,
    but no assertion counts them as sent.
    """

    def __init__(self) -> None:
        self._handed_over: list[tuple[Flask, Callable[[], SentMessage]]] = []
        self._listening = ExitStack()

    def __enter__(self) -> Self:
        enter = self._listening.enter_context
        enter(signals.message_enqueued.connected_to(self._enqueued))
        enter(to_test.connected_to(self._sent_now))
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    # ------------------------------------------------------------------- looking

    @property
    def messages(self) -> list[SentMessage]:
        """All messages, the latest last."""
        return self._read()[0]

    @property
    def last(self) -> SentMessage:
        """The latest message. Raises `AssertionError` if there is none."""
        __tracebackhide__ = True
        for _app, look in reversed(self._handed_over):
            with suppress(MessageNotFound):
                return look()
        raise AssertionError(f"No message was sent.\n\n{self.summary()}")

    def __len__(self) -> int:
        return len(self.messages)

    def __iter__(self) -> Iterator[SentMessage]:
        return iter(self.messages)

    def __getitem__(self, number: int) -> SentMessage:
        return self.messages[number]

    def __bool__(self) -> bool:
        return bool(self.messages)

    def __repr__(self) -> str:
        return f"<RecordedOutbox of {counted(len(self._handed_over), 'message')}>"

    def summary(self) -> str:
        """A list of the messages for people, one a line."""
        return listing(*self._read())

    def clear(self) -> None:
        """Forget the messages so far; the apps' outboxes still have them."""
        self._handed_over.clear()

    def drain(self, timeout_seconds: float = 30.0) -> None:
        """Have the apps deliver what is due, as ``mail.drain`` does.

        Messages deferred to a later time are not due. Raises `AssertionError` after
        ``timeout_seconds``.
        """
        __tracebackhide__ = True
        for app in dict.fromkeys(app for app, _ in self._handed_over):
            if not state_of(app).runtime.drain(timeout_seconds):
                raise AssertionError(
                    f"Due messages were not delivered within {timeout_seconds:g} s: is "
                    f"the mail server down?\n\n{self.summary()}"
                )

    # ------------------------------------------------------------------- asserting

    def assert_sent(
        self,
        *,
        to: Whom | None = None,
        subject: Text | None = None,
        contains: Several | None = None,
        sender: Text | AddressLike | None = None,
        tag: Text | None = None,
        attachment: Several | None = None,
        count: int | None = None,
    ) -> SentMessage:
        """Return the message that meets all criteria, the latest of several.

        A string must equal the message's value, a compiled pattern is searched for in
        it, and each element of a list must be found.

        :param to: an address that it goes to, as To, Cc or Bcc; of a pair of name and
            address, as in `Message`, only the address is compared
        :param subject: its subject
        :param contains: a part of its text, of what its HTML shows, or of a link
        :param sender: the address in its From header
        :param tag: the tag that it was sent with
        :param attachment: the file name of an attachment
        :param count: how many such messages there are, exactly; by default at least one

        Raises `AssertionError`, which shows what was sent instead.
        """
        __tracebackhide__ = True
        wanted = criteria(
            {
                "to": to,
                "subject": subject,
                "contains": contains,
                "sender": sender,
                "tag": tag,
                "attachment": attachment,
            }
        )
        messages, uncommitted = self._read()
        fitting = fitting_of(messages, wanted)
        if not fitting or count not in (None, len(fitting)):
            why = why_not_sent(messages, wanted, len(fitting), count)
            raise AssertionError(f"{why}\n\n{listing(messages, uncommitted)}")
        return fitting[-1]

    def assert_nothing_sent(
        self, *, to: Whom | None = None, tag: Text | None = None
    ) -> None:
        """Return if no message was sent, or none that meets the criteria.

        Raises `AssertionError`, which shows what was sent.
        """
        __tracebackhide__ = True
        wanted = criteria({"to": to, "tag": tag})
        messages, uncommitted = self._read()
        fitting = fitting_of(messages, wanted)
        if fitting:
            why = why_not_nothing(messages, fitting, wanted)
            raise AssertionError(f"{why}\n\n{listing(messages, uncommitted)}")

    # ------------------------------------------------------------------- listening

    def _enqueued(
        self, app: Flask, *, message_id: str, duplicate: bool, **_: Any
    ) -> None:
        if not duplicate:
            self._handed_over.append((app, partial(_look_up, app, message_id)))

    def _sent_now(
        self, app: Flask, *, content: bytes, report: Report, **_: Any
    ) -> None:
        message = SentMessage(app, lambda: content, report=report)
        self._handed_over.append((app, lambda: message))

    def _read(self) -> tuple[list[SentMessage], int]:
        """The messages, and how many are in no outbox."""
        messages: list[SentMessage] = []
        uncommitted = 0
        for _app, look in self._handed_over:
            try:
                messages.append(look())
            except MessageNotFound:
                uncommitted += 1
        return messages, uncommitted


def _look_up(app: Flask, message_id: str) -> SentMessage:
    runtime = state_of(app).runtime
    record = runtime.outbox.get(message_id)
    return SentMessage(app, partial(_written, runtime, message_id), record)


def _written(runtime: Runtime, message_id: str) -> bytes:
    """A message's content; rendered now, if its courier still has to do that."""
    stored = runtime.outbox.unrendered(message_id)
    if stored is None:
        return _kept(runtime, message_id)
    context = runtime.context
    rendering = render(
        stored,
        message_id,
        context.templates,
        ascii_attachments=context.ascii_attachments,
    )
    return rendering.composed.content


def _kept(runtime: Runtime, message_id: str) -> bytes:
    """A rendered message's content. Raises `SensitiveContent` once that is removed."""
    content = runtime.outbox.content(message_id, even_hidden=True)
    if content is None:
        content = runtime.outbox.content(message_id)
    return content or b""
