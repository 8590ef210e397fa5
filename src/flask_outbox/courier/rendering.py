"""The step of an attempt that renders a template into the mail.

The mail is stored in the outbox before the first byte of it is sent, so that every
retry, by whichever courier, sends the same bytes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from email.message import Message as StandardMessage
from functools import partial

from .. import signals
from ..errors import MessageError
from ..message import Message, Templates
from ..message.message import unrendered
from ..message.serialize import Stored, restore
from ..mime import Composed, compose
from ..outbox import Record, Rendition
from ..outbox.records import Claim
from ..trace_context import trace_fields
from .attempt import render_failure, returned_record
from .context import CourierContext
from .recorder import BATCH_WAIT_SECONDS
from .thread_pool import LimitedPool, TookTooLong

RENDER_THREADS = 2
"""Templates are Python and take turns. With two threads, one that waits for another
service does not hold up the other. A slow one gets a thread of its own."""


class RenderingStep:
    """Renders for one courier, in threads that start with the first template.

    ``store`` writes a rendition within some seconds, and returns False if the lease was
    lost. ``lend_place`` lends a lane another place while one of its messages renders
    slowly.
    """

    def __init__(
        self,
        context: CourierContext,
        store: Callable[[Rendition, float], Awaitable[bool]],
        emit: Callable[..., None],
        lend_place: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self._context = context
        self._store = store
        self._emit = emit
        self._lend_place = lend_place
        self._pool: LimitedPool | None = None
        self._rendering = 0

    async def ready(self, claim: Claim) -> Claim | Record:
        """Return ``claim`` with the bytes to send, or what to record instead."""
        if claim.template is None:
            return claim
        clock = self._context.outbox.clock
        try:
            rendition = await self._in_thread(claim)
        except asyncio.CancelledError:
            return returned_record(
                claim, "its courier stopped before it was rendered", clock()
            )
        except TookTooLong:
            return render_failure(
                claim, self._too_long(), self._context.policy, clock()
            )
        except Exception as error:
            return render_failure(claim, error, self._context.policy, clock())
        wait_seconds = BATCH_WAIT_SECONDS if self._rendering else 0.0
        if not await self._store(rendition, wait_seconds):
            return returned_record(
                claim, "its lease was lost while it was rendered", clock()
            )
        self._emit(
            signals.message_rendered,
            message_id=claim.id,
            attempt=claim.attempt,
            template=rendition.template,
            version=rendition.version,
            **trace_fields(claim.trace),
        )
        return replace(claim, content=rendition.content, template=None)

    def close(self) -> None:
        """End the threads once their calls are over."""
        if self._pool is not None:
            self._pool.close()

    async def _in_thread(self, claim: Claim) -> Rendition:
        if self._pool is None:
            self._pool = LimitedPool(
                RENDER_THREADS, "outbox-render", self._context.render_timeout_seconds
            )
        self._rendering += 1
        try:
            with ExitStack() as lending:
                slow = partial(lending.enter_context, self._lend_place(claim.own_lane))
                return await self._pool.run(slow, self._render, claim)
        finally:
            self._rendering -= 1

    def _too_long(self) -> MessageError:
        seconds = self._context.render_timeout_seconds
        return MessageError(
            "template",
            f"it was not rendered within {seconds:g} s (OUTBOX_RENDER_TIMEOUT_SECONDS)",
        )

    def _render(self, claim: Claim) -> Rendition:
        assert claim.template is not None
        context, began = self._context, time.perf_counter()
        rendering = render(
            Stored(claim.template, claim.content),
            claim.id,
            context.templates,
            ascii_attachments=context.ascii_attachments,
        )
        return Rendition(
            claim=claim,
            subject=rendering.composed.subject,
            content=rendering.composed.content,
            template=rendering.template,
            version=rendering.version,
            at=context.outbox.clock(),
            seconds=time.perf_counter() - began,
        )


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
            "template", f"its stored content cannot be read: {error!r}"
        ) from error


def rendered(
    message: Message | StandardMessage, templates: Templates
) -> Message | StandardMessage:
    """The message with nothing left to be rendered: itself, or a copy."""
    waits = unrendered(message)
    return waits[0].filled(templates.render(waits[1])) if waits else message
