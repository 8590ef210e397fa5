"""Interceptors: functions of the app that see each message before it is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message as StandardMessage
from typing import TYPE_CHECKING, Any, TypeVar

from ..delivery import storable
from ..errors import ConfigError, InterceptorError, MessageStopped, OutboxError
from ..message import Message
from ..message.message import changed_fields, copied, fields_of
from ..message.text import shown
from .options import SendOptions

if TYPE_CHECKING:
    from ..outbox.records import Change, Stop

Interceptor = TypeVar(
    "Interceptor", bound=Callable[[Any, SendOptions], Message | StandardMessage | None]
)


@dataclass(frozen=True, slots=True)
class Passed:
    """A message as the interceptors left it, what they changed, and who stopped it."""

    message: Message | StandardMessage
    changes: tuple[Change, ...] = ()
    stop: Stop | None = None


class Interceptors:
    """An app's interceptors, asked in the order in which they were registered."""

    def __init__(self) -> None:
        self._functions: list[Callable[..., Any]] = []
        self._included: list[Interceptors] = []

    def register(self, function: Interceptor) -> Interceptor:
        """Add ``function``. Raises `ConfigError` if it is not callable."""
        if not callable(function):
            raise ConfigError(
                f"before_send was given {shown(function)}: pass a function that takes "
                "a message and its options."
            )
        self._functions.append(function)
        return function

    @property
    def none(self) -> bool:
        """Whether nothing is registered."""
        return not self._all()

    def include(self, others: Interceptors) -> None:
        """Ask those of ``others`` too, after these, now and when there are more."""
        if others is not self and others not in self._included:
            self._included.append(others)

    def _all(self) -> list[Callable[..., Any]]:
        included = [one for others in self._included for one in others._functions]
        return [*self._functions, *included]

    def __call__(
        self, message: Message | StandardMessage, options: SendOptions
    ) -> Passed:
        """Ask each about a copy of ``message``, until one stops it.

        Raises what of our errors an interceptor raises, and `InterceptorError` for any
        other.
        """
        if not (self._functions or self._included):
            return Passed(message)
        functions = self._all()
        if not functions or not isinstance(message, Message | StandardMessage):
            return Passed(message)
        from ..outbox.records import Change, Stop

        changes = []
        message = copied(message)
        for function in functions:
            before = fields_of(message)
            message, reason = _ask(function, message, options)
            if fields := changed_fields(before, fields_of(message)):
                changes.append(Change(_name(function), fields))
            if reason is not None:
                return Passed(message, tuple(changes), Stop(_name(function), reason))
        return Passed(message, tuple(changes))


def _ask(
    function: Callable[..., Any],
    message: Message | StandardMessage,
    options: SendOptions,
) -> tuple[Message | StandardMessage, str | None]:
    """The message as ``function`` leaves it, and why it goes nowhere if it does not."""
    try:
        answer = function(message, options)
    except MessageStopped as stopped:
        return message, storable(stopped.reason)
    except OutboxError as error:
        error.add_note(f"It was raised by the interceptor {_name(function)}.")
        raise
    except Exception as error:
        raise InterceptorError(
            f"The interceptor {_name(function)} raised {error!r}: nothing was stored. "
            "Fix it, or have it raise MessageStopped to stop a message."
        ) from error
    if answer is None:
        return message, None
    if isinstance(answer, Message | StandardMessage):
        return answer, None
    raise InterceptorError(
        f"The interceptor {_name(function)} returned {shown(answer)}: nothing was "
        "stored. It must return a message, or None to send the one it was given."
    )


def _name(function: Callable[..., Any]) -> str:
    """Its name with its module, such as ``shop.mails.add_footer``."""
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{function.__module__}.{name}"
