"""``.. error-texts:: ERROR`` lists the texts with which the package raises that error.

Each has an anchor, and whoever searches for its words finds it. The content is a
definition list that explains some: those whose error names the term as its ``anchor``.
"""

from __future__ import annotations

import re

from docutils import nodes
from docutils.nodes import Element, Node
from error_texts import Text, texts
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from flask_outbox.config import KEYS

_key = re.compile(r"\b((?:MAIL|OUTBOX)_[A-Z_]+)\b")
_known = {key.name for key in KEYS}


class ErrorTexts(SphinxDirective):
    """The texts of the error as bullets: those that name the same anchor are one."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[Node]:
        """Make the bullets, each with the explanation that belongs to it."""
        (error,) = self.arguments
        index = addnodes.index(entries=[])
        bullets: dict[str, Element] = {}
        for id, text in texts().items():
            if text.error == error:
                index["entries"] += [
                    ("single", _whole(words), id, "main", None) for words in text.told
                ]
                bullet = bullets.setdefault(text.anchor or id, nodes.list_item())
                bullet += self._shown(text, id)
        for anchor, explanation in self._explanations().items():
            if anchor not in bullets:
                raise self.error(f"{error} does not name {anchor}.")
            bullets[anchor]["ids"].append(f"{error}-{anchor}".lower())
            bullets[anchor] += explanation
        every = nodes.bullet_list("", *bullets.values(), classes=["error-texts"])
        return [index, every]

    def _explanations(self) -> dict[str, list[Node]]:
        """What the content says of each anchor."""
        return {
            item[0].astext(): item[1].children
            for block in self.parse_content_to_nodes()
            for item in block.children
        }

    def _shown(self, text: Text, id: str) -> Element:
        """The words as they are, with its settings as links."""
        shown = nodes.paragraph(
            support_smartquotes=False, ids=[id], classes=["error-text"]
        )
        for part in _key.split(text.words):
            if part in _known:
                link = addnodes.pending_xref(
                    "",
                    nodes.literal(part, part),
                    refdomain="std",
                    reftype="confval",
                    reftarget=part,
                    refdoc=self.env.docname,
                    refwarn=True,
                )
                shown += link
            else:
                shown += nodes.Text(part)
        return shown


def _whole(entry: str) -> str:
    """The entry of an index, kept from being divided at a semicolon."""
    return f"; {entry}" if ";" in entry else entry


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the directive."""
    app.add_directive("error-texts", ErrorTexts)
    return {"parallel_read_safe": True}
