"""Preparing: what is done to a message between `send` and the outbox.

It is shown to the interceptors, gets its unsubscribe headers, is checked and composed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.message import Message as StandardMessage
from typing import Any

from ..bounce_address import BounceAddress
from ..config import (
    DEFAULT,
    Settings,
    SmtpSettings,
    is_transport_name,
    listed,
)
from ..errors import MessageError, TemplateError
from ..message import Message
from ..message.message import unrendered
from ..message.plain_json import WriteJson
from ..message.serialize import Stored, store
from ..message.text import SENSITIVE_SUBJECT
from ..mime import compose
from ..outbox import DEFAULT_QUEUE, new_id
from ..outbox.records import (
    NewMessage,
    Sensitivity,
    Stop,
)
from ..trace_context import TraceContext
from ..transports.registry import check_message
from ..transports.resolver import FindTransport
from .feedback_headers import (
    Link,
    with_complaint_headers,
    with_unsubscribe_headers,
)
from .interceptors import Interceptors
from .options import SendOptions, check_options, list_of

StopAll = Callable[[], Stop | None]
"""Answers why no message may leave at present; None where all may."""


def stop_nothing() -> None:
    """Let all messages leave."""


class Pipeline:
    """Prepares the messages of one app for its outbox. Safe to share between threads.

    A transport of any name may be asked for if ``find_transport`` can find it later.
    ``link`` makes unsubscribe links, ``write_json`` writes metadata that is no JSON by
    itself, and ``clock`` answers the epoch in seconds.
    """

    def __init__(
        self,
        settings: Settings,
        interceptors: Interceptors,
        find_transport: FindTransport,
        link: Link,
        stop_all: StopAll,
        write_json: WriteJson,
        bounces: BounceAddress | None,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._interceptors = interceptors
        self._find_transport = find_transport
        self._link = link
        self._stop_all = stop_all
        self._write_json = write_json
        self._bounces = bounces
        self._clock = clock

    def prepare(
        self,
        message: Message | StandardMessage,
        options: SendOptions,
        origin: Mapping[str, Any] | None,
        trace: TraceContext | None = None,
    ) -> tuple[Message | StandardMessage, NewMessage]:
        """The message as the interceptors leave it, and what is stored of it.

        Of a message that is still to be rendered, all but its bodies is checked and
        composed, and its template stored. Reports about what may leave by SMTP come
        back to ``bounces``, unless the message has a return path of its own.

        Raises `MessageError` for what can never be sent, and `InterceptorError`.
        """
        settings, tag = self._settings, options.tag
        passed = self._interceptors(message, options)
        message = passed.message
        if options.unsubscribe:
            message = with_unsubscribe_headers(message, list_of(options), self._link)
        message_id, now = new_id(), self._clock()
        due_at, metadata = check_options(options, now, self._write_json)
        lane = self.route(message, options.transport, tag)
        marked, return_path = message, options.return_path
        if self._bounces and not return_path and self._may_leave_by_smtp(lane):
            marked = with_complaint_headers(message, message_id, self._bounces)
            return_path = self._bounces.of(message_id)
        waits = unrendered(marked)
        composed = compose(
            waits[0].filled(None) if waits else marked,
            default_sender=settings.default_sender,
            ascii_attachments=settings.ascii_attachments,
            now=now,
            unique=message_id,
            return_path=return_path,
        )
        content, template, subject = composed.content, None, composed.subject
        if waits:
            stored = self._stored(waits[0], composed.rfc_message_id, now)
            content, template = stored.enclosures, stored.text
            subject = subject or f"({waits[1].name}, not yet rendered)"
        elif lane in settings.transports:
            check_message(settings.transports[lane], composed.envelope, content)
        sensitivity = self._sensitivity(lane) if options.sensitive else Sensitivity.NONE
        if sensitivity is Sensitivity.HIDDEN:
            subject = SENSITIVE_SUBJECT
        return message, NewMessage(
            id=message_id,
            envelope=composed.envelope,
            rfc_message_id=composed.rfc_message_id,
            subject=subject,
            content=content,
            template=template,
            enqueued_at=now,
            due_at=due_at,
            give_up_at=due_at + settings.give_up_after.seconds_for(tag),
            lane=lane,
            queue=tag if tag and tag in settings.tag_concurrency else DEFAULT_QUEUE,
            priority=options.priority,
            key=options.key,
            tag=tag,
            metadata=metadata,
            origin=origin,
            changes=passed.changes,
            stop=passed.stop or self._stop_all(),
            sensitivity=sensitivity,
            trace=trace,
        )

    def route(
        self, message: Message | StandardMessage, asked: str | None, tag: str | None
    ) -> str:
        """The name of the transport that was asked for, or that ``MAIL_ROUTE`` answers.

        Raises `MessageError` for a name that no transport has. If the app finds
        transports by name when mail is due for them, any valid name may be one's.
        """
        settings = self._settings
        answer, problem = asked, f"there is no transport {asked!r}"
        if asked is None:
            if callable(settings.route):
                answer = settings.route(message, tag)
            elif settings.route is not None and tag is not None:
                answer = settings.route.get(tag)
            if answer is None:
                return DEFAULT
            problem = f"MAIL_ROUTE returned {answer!r}"
        if isinstance(answer, str) and answer in settings.transports:
            return answer
        if self._find_transport.none:
            raise MessageError(
                "transport", f"{problem}: this app has {listed(settings.transports)}."
            )
        if not is_transport_name(answer):
            raise MessageError(
                "transport",
                f"{problem}: a name is 1 to 64 letters, digits and . _ - and begins "
                "with a letter or a digit.",
            )
        return str(answer)

    def _may_leave_by_smtp(self, lane: str) -> bool:
        """Whether the lane or one of its fallbacks is SMTP, or not known yet."""
        lanes = (lane, *self._settings.failover.get(lane, ()))
        known = [self._settings.transports.get(one) for one in lanes]
        return any(
            one is None or isinstance(one.adapter, SmtpSettings) for one in known
        )

    def _stored(self, message: Message, rfc_message_id: str, now: float) -> Stored:
        """What the outbox stores of a message that is still to be rendered."""
        if message.body is not None or message.html is not None:
            raise TemplateError(
                "it sets body and html when it is rendered: leave them unset, or pass "
                "render='now'.",
                message.template.name if message.template else None,
            )
        return store(message, self._settings.default_sender, rfc_message_id, now)

    def _sensitivity(self, lane: str) -> Sensitivity:
        """That of a sensitive message for ``lane``: developers may read what their
        inbox keeps.
        """
        transport = self._settings.transports.get(lane)
        if self._settings.developing and transport and transport.keeps_mail:
            return Sensitivity.SHOWN
        return Sensitivity.HIDDEN
