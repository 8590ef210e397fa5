"""The roles of the dashboard: what a person may do there who has access to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, TypeVar

from ..errors import ConfigError


class Role(StrEnum):
    """One thing that a person may do on the dashboard."""

    READ = "read"
    """See lists, states and histories. Who has another role has this one, too."""
    OPERATE = "operate"
    """Change something: retry, cancel, pause, suppress and the like."""
    CONTENT = "content"
    """See what a mail says: its bodies, source and attachments."""


EVERY_ROLE = frozenset(Role)

NO_ROLE: frozenset[Role] = frozenset()


def roles_given(answer: Any) -> frozenset[Role]:
    """The roles that the answer of the function in ``OUTBOX_DASHBOARD`` grants.

    True grants all of them, a set or list of names those. Anything else grants none.
    Raises `ConfigError` for a name that no role has.
    """
    if answer is True:
        return EVERY_ROLE
    if not isinstance(answer, set | frozenset | list | tuple) or not answer:
        return NO_ROLE
    return frozenset({Role.READ, *map(_named, answer)})


def _named(name: Any) -> Role:
    try:
        return Role(name)
    except ValueError:
        raise ConfigError(
            f"The function in OUTBOX_DASHBOARD returned the role {name!r}: the roles "
            f"are {names(Role)}."
        ) from None


def names(roles: Iterable[Role]) -> str:
    """The names of ``roles``, for people."""
    return ", ".join(one for one in Role if one in {*roles})


View = TypeVar("View", bound=Callable[..., object])


class RoleTable:
    """Which role each view needs. A view that is not in it is shown to nobody."""

    def __init__(self) -> None:
        self._needed: dict[str, Role] = {"static": Role.READ}

    def needs(self, role: Role) -> Callable[[View], View]:
        """Declare the role that the view below needs."""

        def declare(view: View) -> View:
            self._needed[view.__name__] = role
            return view

        return declare

    def needed(self, view: str) -> Role | None:
        """The role that the view of this name needs; None if none was declared."""
        return self._needed.get(view)
