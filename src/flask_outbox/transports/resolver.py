"""The app's function that finds a transport by its name when mail is due for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from ..errors import ConfigError
from ..message.text import shown

Resolver = TypeVar("Resolver", bound=Callable[[str], str | Mapping[str, Any] | None])


class FindTransport(Protocol):
    """Finds transports by name, for couriers."""

    @property
    def none(self) -> bool:
        """Whether the app has no function for it."""

    def __call__(self, name: str) -> Any:
        """A URL, a dict of ``MAIL_*`` keys, or None; raises whatever the app does."""


class Resolvers:
    """An app's transport resolver, if it has one."""

    def __init__(self) -> None:
        self._function: Callable[[str], Any] | None = None
        self._included: list[Resolvers] = []

    def register(self, function: Resolver) -> Resolver:
        """Make ``function`` the resolver.

        Raises `ConfigError` if it is not callable, and if there is another.
        """
        if not callable(function):
            raise ConfigError(
                f"transport_resolver was given {shown(function)}: pass a function that "
                "takes a name."
            )
        if self._function not in (None, function):
            raise ConfigError(
                f"transport_resolver was given {shown(function)}, and this app has "
                "a transport resolver already: keep one."
            )
        self._function = function
        return function

    @property
    def none(self) -> bool:
        """Whether there is none."""
        return self._chosen() is None

    def include(self, others: Resolvers) -> None:
        """Use that of ``others`` where this has none, now and later."""
        if others is not self and others not in self._included:
            self._included.append(others)

    def __call__(self, name: str) -> Any:
        """What the resolver returns for ``name``; None if there is none."""
        chosen = self._chosen()
        return chosen(name) if chosen is not None else None

    def _chosen(self) -> Callable[[str], Any] | None:
        if not self._included:
            return self._function
        each = (self._function, *(one._function for one in self._included))
        return next((one for one in each if one is not None), None)
