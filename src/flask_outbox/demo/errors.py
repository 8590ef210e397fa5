"""What may keep the demo from running."""

from __future__ import annotations


class CannotRun(Exception):
    """The demo cannot start, or its check did not come true; the text says why."""
