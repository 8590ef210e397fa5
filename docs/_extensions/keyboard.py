"""What the theme leaves out for people who use a keyboard or a screen reader.

A block of code that is wider than the page can be scrolled without a mouse, and the
captions in the list of pages are headings of a level.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

BEHIND_THE_THEME = 900


def add(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Add it to a page that is about to be written."""
    for part, old, new in (
        ("body", "<pre>", '<pre tabindex="0">'),
        ("furo_navigation_tree", 'role="heading"', 'role="heading" aria-level="2"'),
    ):
        if part in context:
            context[part] = context[part].replace(old, new)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Have it called."""
    app.connect("html-page-context", add, priority=BEHIND_THE_THEME)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
