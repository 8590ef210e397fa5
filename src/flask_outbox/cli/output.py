"""What goes to standard output: text that any terminal can show, or one document."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click


def say(text: str = "") -> None:
    """Print ``text``; what the terminal's encoding does not have is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding))


def print_document(value: Any) -> None:
    """Print ``value`` as one JSON document: times as ISO 8601, states as words."""
    click.echo(json.dumps(value, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return asdict(value)
