"""Extras: libraries that make more of a template, where they are installed.

Without them the mail goes out all the same, with less in it: a missing nicety stops
nobody's password reset. The log says once what is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

Tell = Callable[[str, str, str], None]
"""Says once: the template's name, the extra, and what is left out without it."""


class Extras:
    """The extras of one app's templates; ``tell`` is called where one is missing."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._told: set[tuple[str, str]] = set()

    def has(self, module: str, extra: str, template: str, without: str) -> bool:
        """Whether the library ``module``, which ``extra`` installs, is there."""
        try:
            import_module(module)
        except ImportError:
            if (template, extra) not in self._told:
                self._told.add((template, extra))
                self._tell(template, extra, without)
            return False
        return True
