"""``flask outbox``: what a person sees and does from a shell."""

from __future__ import annotations

import click

outbox_commands = click.Group("outbox", help="See and work the app's outbox.")
