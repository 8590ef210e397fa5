"""``.. config-keys:: PREFIX`` documents the settings that the package declares.

Each becomes a target of the ``confval`` role, so that a page that names a setting which
no longer exists breaks the build.
"""

from __future__ import annotations

import inspect

from docutils.nodes import Node
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from flask_outbox import config


class ConfigKeys(SphinxDirective):
    """The settings whose names begin with the argument, as a definition list."""

    required_arguments = 1

    def run(self) -> list[Node]:
        """Write one ``confval`` for each key and have it parsed."""
        self.env.note_dependency(config.__file__)
        (prefix,) = self.arguments
        lines: list[str] = []
        for key in config.KEYS:
            if key.name.startswith(prefix):
                lines += [
                    f".. confval:: {key.name}",
                    f"   :type: {key.type_name}",
                    f"   :default: {key.default_text}",
                    "",
                    *(f"   {line}" for line in inspect.cleandoc(key.doc).splitlines()),
                    "",
                ]
        if not lines:
            raise self.error(f"No setting begins with {prefix!r}.")
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the directive."""
    app.add_directive("config-keys", ConfigKeys)
    return {"parallel_read_safe": True}
