"""``.. changelog:: FILE`` includes a changelog that is written in Markdown.

It knows what a changelog needs and no more: headings, bullets, code and links.
"""

from __future__ import annotations

import re
from pathlib import Path

from docutils.nodes import Node
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

UNDERLINES = {2: "=", 3: "-", 4: "~"}


def to_rest(markdown: str) -> str:
    """The same text in reStructuredText, without its title."""
    text = re.sub(r"`([^`]+)`", r"``\1``", markdown)
    text = re.sub(r"\[([^]]+)]\(([^)]+)\)", r"`\1 <\2>`__", text)
    lines: list[str] = []
    for line in text.splitlines():
        heading = re.match(r"(#+) (.*)", line)
        if not heading:
            lines.append(line)
        elif len(heading[1]) > 1:
            title = heading[2].replace("[", "").replace("]", "")
            lines += ["", title, UNDERLINES[len(heading[1])] * len(title), ""]
    return "\n".join(lines)


class Changelog(SphinxDirective):
    """The changelog named by the argument, relative to the page."""

    required_arguments = 1

    def run(self) -> list[Node]:
        """Turn the file into reStructuredText and have it parsed."""
        _, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(path)
        text = to_rest(Path(path).read_text(encoding="utf-8"))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the directive."""
    app.add_directive("changelog", Changelog)
    return {"parallel_read_safe": True}
