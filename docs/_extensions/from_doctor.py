"""``.. doctor-faults::`` lists the faults that ``flask outbox doctor`` can find."""

from __future__ import annotations

from docutils.nodes import Node
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from flask_outbox.doctor import FAULTS, faults


class DoctorFaults(SphinxDirective):
    """Each fault: its id, how severe it is, what it is and why it matters. A search for
    the id leads to it.
    """

    def run(self) -> list[Node]:
        """Write a row for each and have it parsed."""
        self.env.note_dependency(faults.__file__)
        lines = [
            ".. list-table::",
            "   :header-rows: 1",
            "   :widths: 25 12 63",
            "",
            "   * - Id",
            "     - Severity",
            "     - What is wrong, and why it matters",
        ]
        for one in FAULTS.values():
            lines += [
                f"   * - .. index:: ! {one.id}",
                f"         :name: {one.id}",
                "",
                f"       ``{one.id}``",
                f"     - {one.severity}",
                f"     - {one.what} {one.why}",
            ]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the directive."""
    app.add_directive("doctor-faults", DoctorFaults)
    return {"parallel_read_safe": True}
