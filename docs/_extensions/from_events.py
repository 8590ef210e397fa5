"""``.. outbox-signals::`` documents the signals that the package declares."""

from __future__ import annotations

from blinker import NamedSignal
from docutils.nodes import Node
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from flask_outbox import events


class OutboxSignals(SphinxDirective):
    """Each public signal of ``flask_outbox.events``, with its payload."""

    def run(self) -> list[Node]:
        """Write one ``data`` for each signal and have it parsed."""
        self.env.note_dependency(events.__file__)
        lines: list[str] = []
        for name, signal in vars(events).items():
            if isinstance(signal, NamedSignal) and not name.startswith("_"):
                lines += [
                    f".. py:data:: flask_outbox.events.{name}",
                    "",
                    f"   {signal.__doc__}",
                    "",
                ]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the directive."""
    app.add_directive("outbox-signals", OutboxSignals)
    return {"parallel_read_safe": True}
