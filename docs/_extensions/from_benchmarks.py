"""``.. outbox-scale::`` shows what rates of mail require, by the newest figures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from docutils import nodes
from docutils.nodes import Node
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

ROOT = Path(__file__).resolve().parents[2]
SCALE = ROOT / "benchmarks" / "scale.py"


class OutboxScale(SphinxDirective):
    """What the model prints."""

    def run(self) -> list[Node]:
        """Calculate it."""
        for source in (SCALE, *(ROOT / "docs" / "figures").glob("*.json")):
            self.env.note_dependency(str(source))
        table = subprocess.run(  # noqa: S603 - our own script
            [sys.executable, SCALE], check=True, capture_output=True, text=True
        ).stdout
        return [nodes.literal_block(table, table, language="text")]


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the directive."""
    app.add_directive("outbox-scale", OutboxScale)
    return {"parallel_read_safe": True}
