"""``.. outbox-commands::`` documents ``flask outbox`` from the commands' own help."""

from __future__ import annotations

import textwrap
from tempfile import TemporaryDirectory

import click
from docutils.nodes import Node
from flask import Flask
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from flask_outbox import Mail


class OutboxCommands(SphinxDirective):
    """Each command of ``flask outbox``, as ``flask outbox COMMAND --help`` says it."""

    def run(self) -> list[Node]:
        """Write one section for each command, which a search for it finds first."""
        with TemporaryDirectory() as folder:
            app = Flask("docs", instance_path=folder)
            app.testing = True
            Mail(app)
        group = app.cli.commands["outbox"]
        if not isinstance(group, click.Group):
            raise self.error("flask outbox is not a group of commands.")
        flask = click.Context(click.Group("flask"), info_name="flask")
        outbox = click.Context(group, info_name="outbox", parent=flask)
        lines: list[str] = []
        for name in group.list_commands(outbox):
            command = group.get_command(outbox, name)
            assert command
            context = click.Context(
                command, info_name=name, parent=outbox, terminal_width=78
            )
            title = f"flask outbox {name}"
            lines += [
                title,
                "~" * len(title),
                "",
                ".. code-block:: text",
                "",
                textwrap.indent(command.get_help(context), " " * 3),
                "",
            ]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the directive."""
    app.add_directive("outbox-commands", OutboxCommands)
    return {"parallel_read_safe": True}
