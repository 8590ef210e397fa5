"""Calls that several messages share, and in which each of them has its own reply."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from ...config import UrlSettings
from ...delivery import Envelope
from ...errors import LeaseLost
from .api import Answer, FieldsTransport, Means, Part
from .client import ApiReply, ApiRequest, NoReply
from .fields import Fields

SHARED_BYTES = 4 * 1024 * 1024
"""How large the messages of a shared call may be in all: less than any API takes, and
sent in seconds."""


class SharedCallTransport(FieldsTransport):
    """Sends by an API with a call for several messages that answers each of them.

    Messages that wait for a connection at the same time share a call, and each keeps
    its own report. A message that was tried before has a call of its own, and so have
    all messages of a call that was refused as a whole: one never fails for another.

    No API whose requests are safe to repeat is one of these, as it has one idempotency
    key for a call: after a crash nobody knows which messages shared it.
    """

    messages_per_call: ClassVar[int]
    """How many messages may share a call."""

    def __init__(self, settings: UrlSettings) -> None:
        super().__init__(settings)
        self._waiting: deque[_Waiting] = deque()
        self._callers: set[asyncio.Task[None]] = set()
        self._one_begins = False
        """Whether a caller is about to take what waits."""

    @abstractmethod
    def message(self, fields: Fields) -> bytes:
        """The JSON of one message."""

    @abstractmethod
    def request(self, what: bytes, key: str, unique: str) -> ApiRequest:
        """The call for one message."""

    @abstractmethod
    def shared_request(self, messages: Sequence[bytes], key: str) -> ApiRequest:
        """The call for several messages."""

    @abstractmethod
    def replies(
        self, parts: Sequence[Part], reply: ApiReply
    ) -> Sequence[ApiReply] | None:
        """The reply to each part in a shared one; None if that is one for all."""

    @property
    def riders(self) -> int:
        """As many as find room in shared calls."""
        return (self.messages_per_call - 1) * self.settings.max_connections

    def requests(
        self, envelope: Envelope, content: bytes
    ) -> Iterator[tuple[Envelope, bytes]]:
        """The JSON of the message, once or for each part of its recipients."""
        for part, fields in super().requests(envelope, content):
            yield part, self.message(fields)

    async def answered(self, part: Part) -> Answer:
        """The answer to a part, whatever comes to the others in its call.

        If this is cancelled before the last byte of the call, the part does not leave.
        """
        waiting = _Waiting(
            part, part.progress.final_dot_sent, part.envelope.attempt > 1
        )
        self._waiting.append(waiting)
        self._begin_call()
        try:
            return await waiting.answer
        except asyncio.CancelledError:
            part.progress.lease_holds = _never
            raise

    def call(self, parts: Sequence[Part], key: str) -> ApiRequest:
        """The request for one part or several."""
        if len(parts) == 1:
            return super().call(parts, key)
        return self.shared_request([part.what for part in parts], key)

    async def close(self) -> None:
        """Close all connections."""
        for caller in self._callers:
            caller.cancel()
        await asyncio.gather(*self._callers, return_exceptions=True)
        _cancel(self._waiting)
        await super().close()

    # ------------------------------------------------------------------------- calling

    def _begin_call(self) -> None:
        """Have a caller take what waits, if there is a connection for it."""
        if self._one_begins or len(self._callers) >= self.settings.max_connections:
            return
        self._one_begins = True
        self._callers.add(asyncio.create_task(self._call_while_any_wait()))

    async def _call_while_any_wait(self) -> None:
        self._one_begins = False
        caller = asyncio.current_task()
        assert caller is not None
        try:
            while together := self._next():
                if self._waiting:
                    self._begin_call()
                await self._call_for(together)
        finally:
            self._callers.discard(caller)

    def _next(self) -> list[_Waiting]:
        """Take those that share the next call."""
        together: list[_Waiting] = []
        size_bytes = 0
        while self._waiting and len(together) < self.messages_per_call:
            one = self._waiting[0]
            size_bytes += len(one.part.what)
            if together and (one.alone or size_bytes > SHARED_BYTES):
                break
            self._waiting.popleft()
            if one.answer.done():  # it was cancelled
                size_bytes -= len(one.part.what)
                continue
            together.append(one)
            if one.alone:
                break
        return together

    async def _call_for(self, together: Sequence[_Waiting]) -> None:
        """Have each of these answered, or wait for another call."""
        try:
            answers = await self._answers([one.part for one in together])
        except _RefusedAsAWhole:
            self._put_back(together, alone=True)
        except LeaseLost as error:
            over = [one for one in together if not one.part.progress.lease_holds()]
            _fail(over, error)
            self._put_back(together)
        except Exception as error:
            _fail(together, error)
        except asyncio.CancelledError:
            _cancel(together)
            raise
        else:
            for one, answer in zip(together, answers, strict=True):
                if not one.answer.done():
                    one.answer.set_result(answer)

    async def _answers(self, parts: Sequence[Part]) -> Sequence[Answer]:
        """The answer to each part in one call with all of them."""
        answer = await self.called(parts)
        if len(parts) == 1:
            return [answer]
        replies = self.replies(parts, answer.reply)
        if replies is None:
            if self._refuses(answer.reply):
                raise _RefusedAsAWhole
            return [answer] * len(parts)
        if len(replies) != len(parts):
            raise NoReply("the reply does not say what became of which message")
        return [Answer(reply, answer.key) for reply in replies]

    def _refuses(self, reply: ApiReply) -> bool:
        accepts = 200 <= reply.status < 300
        return not accepts and self.meaning(reply, *self.error(reply)) is Means.REFUSED

    def _put_back(self, together: Sequence[_Waiting], *, alone: bool = False) -> None:
        """Let those that have no answer wait for another call: none of them was taken
        in this one.
        """
        for one in reversed(together):
            if not one.answer.done():
                one.alone = one.alone or alone
                one.part.progress.final_dot_sent = one.follows
                self._waiting.appendleft(one)


class _RefusedAsAWhole(Exception):
    """A call was refused, for one of its messages or for all of them."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A part that waits for its answer."""

    part: Part
    follows: bool
    """Whether another part of its message was sent before."""
    alone: bool
    """Whether it has a call of its own."""
    answer: asyncio.Future[Answer] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


def _fail(some: Iterable[_Waiting], error: Exception) -> None:
    for one in some:
        if not one.answer.done():
            one.answer.set_exception(error)


def _cancel(some: Iterable[_Waiting]) -> None:
    for one in some:
        one.answer.cancel()


def _never() -> bool:
    """What was cancelled may not leave any more."""
    return False
