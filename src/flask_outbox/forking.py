"""Forking: whoever has connections or threads is told before a fork and after it."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class Forked(Protocol):
    """What must be told of forks."""

    def before_fork(self) -> None:
        """Hold nothing that a child must not inherit, until the fork is over."""

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork_in_child(self) -> None:
        """Begin anew: nothing of the parent's may be touched."""


_known: weakref.WeakSet[Forked] = weakref.WeakSet()
_one_fork = threading.Lock()
_forking: list[Forked] = []
"""Those that wait for the fork to be over."""


def tell_of_forks(one: Forked) -> None:
    """Tell ``one`` of each fork for as long as it lives."""
    _known.add(one)


def _before() -> None:
    _one_fork.acquire()
    for one in list(_known):
        one.before_fork()
        _forking.append(one)


def _after_in_parent() -> None:
    while _forking:
        _forking.pop().after_fork_in_parent()
    _one_fork.release()


def _after_in_child() -> None:
    while _forking:
        _forking.pop().after_fork_in_child()
    _one_fork.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before,
        after_in_parent=_after_in_parent,
        after_in_child=_after_in_child,
    )
