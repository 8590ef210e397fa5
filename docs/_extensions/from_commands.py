"""``.. outbox-commands::`` documents ``flask outbox`` from the commands' own help."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from tempfile import TemporaryDirectory

import click
from docutils.nodes import Node
from flask import Flask
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from flask_outbox import Mail


def below(group: click.Group, outer: click.Context) -> Iterator[click.Context]:
    """A context for each command of the group, and for those of its own groups."""
    for name in group.list_commands(outer):
        command = group.get_command(outer, name)
        assert command
        context = click.Context(command, outer, info_name=name, terminal_width=78)
        yield context
        if isinstance(command, click.Group):
            yield from below(command, context)


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
        outbox = click.Context(group, flask, info_name="outbox")
        lines: list[str] = []
        for context in below(group, outbox):
            lines += [
                context.command_path,
                "~" * len(context.command_path),
                "",
                ".. code-block:: text",
                "",
                textwrap.indent(context.get_help(), " " * 3),
                "",
            ]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the directive."""
    app.add_directive("outbox-commands", OutboxCommands)
    return {"parallel_read_safe": True}
