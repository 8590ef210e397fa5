"""Rendering: the step of an attempt that turns a template into the mail itself.

What comes of it is kept in the outbox before a byte of it is sent, so that every retry,
whoever makes it, sends the same bytes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from functools import partial

from .. import events
from ..attempt import unrendered, untried
from ..errors import MessageError
from ..message.stored import Stored
from ..outbox.leases import Record
from ..outbox.records import Claim
from ..outbox.renditions import Rendition
from ..rendering import render
from .crew import Crew
from .limited_pool import LimitedPool, TookTooLong

RENDER_THREADS = 2
"""Templates are Python and take turns; with two, one that waits for something that the
app asks elsewhere does not hold up the others. What is slow has a thread of its own."""


class RenderingStep:
    """Renders for one courier, in threads of its own, which the first template begins.

    ``keep`` writes a rendition down and answers False where its lease was lost;
    ``lent`` lends a lane another place, for one whose message is slow.
    """

    def __init__(
        self,
        crew: Crew,
        keep: Callable[[Rendition], Awaitable[bool]],
        emit: Callable[..., None],
        lent: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self._crew = crew
        self._keep = keep
        self._emit = emit
        self._lent = lent
        self._pool: LimitedPool | None = None

    async def ready(self, held: Claim) -> Claim | Record:
        """``held`` with the bytes to be sent, or what to record as there are none."""
        if held.template is None:
            return held
        clock = self._crew.outbox.clock
        try:
            rendition = await self._in_thread(held)
        except asyncio.CancelledError:
            return untried(held, "its courier stopped before it was rendered", clock())
        except TookTooLong:
            return unrendered(held, self._too_long(), self._crew.policy, clock())
        except Exception as error:
            return unrendered(held, error, self._crew.policy, clock())
        if not await self._keep(rendition):
            return untried(held, "its lease was lost while it was rendered", clock())
        self._emit(
            events.message_rendered,
            message_id=held.id,
            attempt=held.attempt,
            template=rendition.template,
            version=rendition.version,
        )
        return replace(held, content=rendition.content, template=None)

    def close(self) -> None:
        """Let the threads end."""
        if self._pool is not None:
            self._pool.close()

    async def _in_thread(self, held: Claim) -> Rendition:
        if self._pool is None:
            self._pool = LimitedPool(
                RENDER_THREADS, "outbox-render", self._crew.render_timeout_seconds
            )
        with ExitStack() as lending:
            slow = partial(lending.enter_context, self._lent(held.waits_on))
            return await self._pool.run(slow, self._render, held)

    def _too_long(self) -> MessageError:
        seconds = self._crew.render_timeout_seconds
        return MessageError(
            "template",
            f"it was not rendered within {seconds:g} s (OUTBOX_RENDER_TIMEOUT_SECONDS)",
        )

    def _render(self, held: Claim) -> Rendition:
        assert held.template is not None
        crew, began = self._crew, time.perf_counter()
        rendering = render(
            Stored(held.template, held.content),
            held.id,
            crew.templates,
            ascii_attachments=crew.ascii_attachments,
        )
        return Rendition(
            claim=held,
            subject=rendering.composed.subject,
            content=rendering.composed.content,
            template=rendering.template,
            version=rendering.version,
            at=crew.outbox.clock(),
            seconds=time.perf_counter() - began,
        )
