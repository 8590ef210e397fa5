"""Recorded: what the apps under test have handed over, and what can be asserted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any, Self

from flask import Flask

from .. import events
from ..delivery import Report
from ..errors import MessageNotFound
from ..message import AddressLike
from ..rendering import render
from ..runtime import Runtime
from ..words import counted
from .sent import SentMessage
from .telling import listing, why_not_nothing, why_not_sent
from .wanted import Text, criteria, fitting_of

Several = Text | list[Text] | tuple[Text, ...]
"""A string or a compiled pattern, or a list of which each must be there."""

Whom = Text | AddressLike | list[Text | AddressLike] | tuple[Text | AddressLike, ...]
"""An address in each form that `Message` takes, a pattern, or a list of those."""


class RecordedOutbox:
    """What any app hands over while the ``with`` block runs: the fixture ``outbox``.

    It holds what is in the apps' outboxes, in the order of the calls: a message counts
    if and only if it is kept there. One that was sent twice under the same ``key`` is
    one, and of a transaction that is not committed there is none. What `Mail.send_now`
    delivered is there too. Messages are read anew each time that they are asked for.

    What is kept from everyone, suppressed or cancelled, is in `messages`, and no
    assertion takes it for sent.
    """

    def __init__(self) -> None:
        self._handed_over: list[tuple[Flask, Callable[[], SentMessage]]] = []
        self._listening = ExitStack()

    def __enter__(self) -> Self:
        enter = self._listening.enter_context
        enter(events.message_enqueued.connected_to(self._enqueued))
        enter(events.message_sent_now.connected_to(self._sent_now))
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    # ------------------------------------------------------------------- looking

    @property
    def messages(self) -> list[SentMessage]:
        """All that is there, the latest last."""
        return self._read()[0]

    @property
    def last(self) -> SentMessage:
        """The latest message. Raises `AssertionError` where there is none."""
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
        """Each message on a line, for people."""
        return listing(*self._read())

    def clear(self) -> None:
        """Forget what was handed over until now; the apps' outboxes keep it."""
        self._handed_over.clear()

    def drain(self, timeout: float = 30.0) -> None:
        """Have the apps deliver what is due, as ``mail.drain`` does.

        What is put off is not due. Raises `AssertionError` after ``timeout`` seconds.
        """
        __tracebackhide__ = True
        for app in dict.fromkeys(app for app, _ in self._handed_over):
            if not _runtime(app).drain(timeout):
                raise AssertionError(
                    f"What is due did not leave within {timeout:g} s; is its server "
                    f"down?\n\n{self.summary()}"
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
        """Return the message that is so, the latest of several.

        A string is compared with the whole of what a message has, and a compiled
        pattern is searched for in it; of a list, each must be there.

        :param to: an address that it goes to, as To, Cc or Bcc; a pair is a name and an
            address, as in `Message`, of which the address counts
        :param subject: its subject
        :param contains: a piece of its text, of what its HTML shows, or of a link
        :param sender: the address in its From header
        :param tag: the label that it was sent with
        :param attachment: the file name of an attachment
        :param count: how many such messages there are, exactly; by default at least one

        Raises `AssertionError` with what was sent instead.
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
        """Return if no message is there that goes to anyone, or that is so.

        Raises `AssertionError` with what was sent.
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


def _runtime(app: Flask) -> Runtime:
    runtime: Runtime = app.extensions["outbox"].runtime
    return runtime


def _look_up(app: Flask, message_id: str) -> SentMessage:
    runtime = _runtime(app)
    record = runtime.outbox.get(message_id)
    return SentMessage(app, partial(_written, runtime, message_id), record)


def _written(runtime: Runtime, message_id: str) -> bytes:
    """What a message says; rendered now, where its courier has still to do that."""
    stored = runtime.outbox.unrendered(message_id)
    if stored is None:
        return runtime.outbox.content(message_id) or b""
    crew = runtime.crew
    rendering = render(
        stored, message_id, crew.templates, ascii_attachments=crew.ascii_attachments
    )
    return rendering.composed.content
