"""Labels: keys, tags and lists, short texts by which messages are found."""

from __future__ import annotations

from typing import Any

from ..errors import MessageError

LABEL_LENGTH = 255
"""The longest label: what every database indexes whole."""


def check_label(field: str, label: Any) -> None:
    """Raise `MessageError` with ``field`` unless ``label`` is a label."""
    if not isinstance(label, str) or not 0 < len(label) <= LABEL_LENGTH:
        raise MessageError(
            field, f"{label!r} is not a string of 1 to {LABEL_LENGTH} characters."
        )
    if label != label.strip():
        raise MessageError(field, f"{label!r} begins or ends with a space: remove it.")
    if not label.isprintable():
        raise MessageError(field, f"{label!r} has characters that cannot be printed.")
