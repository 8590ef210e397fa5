"""``.. outbox-signals::`` documents the signals that the package declares, and
``.. outbox-signal-table::`` lists them at a glance.
"""

from __future__ import annotations

from collections.abc import Iterator

from blinker import NamedSignal
from docutils.nodes import Node
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from flask_outbox import signals


def declared() -> Iterator[tuple[str, NamedSignal]]:
    """Each public signal of ``flask_outbox.signals`` with its name."""
    for name, signal in vars(signals).items():
        if isinstance(signal, NamedSignal) and not name.startswith("_"):
            yield name, signal


class OutboxSignals(SphinxDirective):
    """Each public signal of ``flask_outbox.signals``, with its payload."""

    def run(self) -> list[Node]:
        """Write one ``data`` for each signal and have it parsed."""
        self.env.note_dependency(signals.__file__)
        lines: list[str] = []
        for name, signal in declared():
            lines += [
                f".. py:data:: {name}",
                f"   :module: {signals.__name__}",
                "",
                f"   {signal.__doc__}",
                "",
            ]
        return self.parse_text_to_nodes("\n".join(lines))


class OutboxSignalTable(SphinxDirective):
    """The same as a table."""

    def run(self) -> list[Node]:
        """Write a row for each and have it parsed."""
        self.env.note_dependency(signals.__file__)
        lines = [".. list-table::", "   :widths: 30 70", ""]
        for name, signal in declared():
            lines += [
                f"   * - :data:`~flask_outbox.signals.{name}`",
                f"     - {signal.__doc__}",
            ]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the directives."""
    app.add_directive("outbox-signals", OutboxSignals)
    app.add_directive("outbox-signal-table", OutboxSignalTable)
    return {"parallel_read_safe": True}
