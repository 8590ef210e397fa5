"""``.. outbox-scripts::`` shows the grammar of scripts for a test's mail server."""

from __future__ import annotations

from docutils import nodes
from docutils.nodes import Node
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from flask_outbox.testing import smtp_script


class OutboxScripts(SphinxDirective):
    """The text that a script which cannot be read is answered with."""

    def run(self) -> list[Node]:
        """Show it as it is."""
        self.env.note_dependency(smtp_script.__file__)
        return [
            nodes.literal_block(
                smtp_script.GRAMMAR, smtp_script.GRAMMAR, language="text"
            )
        ]


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the directive."""
    app.add_directive("outbox-scripts", OutboxScripts)
    return {"parallel_read_safe": True}
