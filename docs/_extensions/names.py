"""A name in a docstring, such as ``ConfigError``, leads to where it is documented.

Docstrings name what they mean without its module, or as users import it. An error leads
to what to do about it, another class to the one with the shortest path.
"""

from __future__ import annotations

from docutils.nodes import Element
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode
from sphinx.util.typing import ExtensionMetadata

from flask_outbox import errors


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, shown: Element
) -> Element | None:
    """A link for a name that is documented under another path."""
    name = node.get("reftarget", "").removeprefix("flask_outbox.")
    if node.get("reftype") not in ("obj", "exc") or not name[:1].isupper():
        return None
    if hasattr(errors, name):
        page, anchor = "errors", name.lower()
    else:
        objects = env.domains.python_domain.objects
        paths = [path for path in objects if path.endswith(f".{name}")]
        if not paths:
            return None
        found = objects[min(paths, key=len)]
        page, anchor = found.docname, found.node_id
    return make_refnode(app.builder, node["refdoc"], page, anchor, shown)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Have it called."""
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
