"""Checks: what would go wrong for those who get a message, found before they do.

- `outline`: what an HTML body shows
- `bodies`, `leftovers`, `links`, `images`, `crowd`: one subject each
- `checking`: `check`, which does all of them
"""

from .checking import Checked, check
from .findings import Finding, Severity
from .links import Link

__all__ = ["Checked", "Finding", "Link", "Severity", "check"]
