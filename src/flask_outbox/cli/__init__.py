"""``flask outbox``: the command line of the outbox."""

from .group import outbox_commands

__all__ = ["outbox_commands"]
