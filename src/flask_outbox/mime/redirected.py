"""A message that goes to somebody else than whom it is for."""

from __future__ import annotations

from collections.abc import Iterable

from .headers import unstructured


def redirected(content: bytes, recipients: Iterable[str]) -> bytes:
    """``content`` below an X-Original-To for each of those who do not get it.

    What there is stays byte for byte, so that signatures (DKIM) hold.
    """
    lines = [unstructured("X-Original-To", one) for one in recipients]
    return "".join(lines).encode() + content
